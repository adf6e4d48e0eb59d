//! Request bodies: JSON into types that prove themselves.
//!
//! A body's fields are of types whose `Deserialize` checks their rule (`models::text`), so a body that exists
//! is valid. serde stops at the first field that is wrong; clients want all of them. So when it stops, the
//! body is read again, field after wrong field taken out, until every one of them has been told.

use axum::body::Bytes;
use axum::extract::{FromRequest, OptionalFromRequest, Request};
use http::header::CONTENT_TYPE;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::error::Category;
use utoipa::PartialSchema;
use utoipa::openapi::{RefOr, Schema};

use crate::error::{Error, FieldError, Result};

/// Largest body, in bytes; uploads have limits of their own.
pub const LIMIT: usize = 1024 * 1024;

/// Most wrong fields that are told at once.
const MOST_ERRORS: usize = 50;

/// A JSON body. 415 for another type, 413 for one too large, 400 for what is not JSON, 422 with every wrong
/// field for what is not a `T`.
pub struct Body<T>(pub T);

/// The same, or a form with the same fields (`application/x-www-form-urlencoded`); unknown form fields are
/// ignored, as RFC 6749 wants of token requests.
pub struct BodyOrForm<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + PartialSchema> FromRequest<S> for Body<T> {
    type Rejection = Error;

    async fn from_request(request: Request, _: &S) -> Result<Self> {
        match media_type(&request) {
            Some(Media::Json) => Ok(Self(parse(&read(request).await?)?)),
            _ => Err(Error::UnsupportedMediaType("application/json")),
        }
    }
}

/// A body that may be left out, with its content type.
impl<S: Send + Sync, T: DeserializeOwned + PartialSchema> OptionalFromRequest<S> for Body<T> {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Option<Self>> {
        if request.headers().contains_key(CONTENT_TYPE) {
            let body = <Self as FromRequest<S>>::from_request(request, state);
            return body.await.map(Some);
        }
        match read(request).await?.is_empty() {
            true => Ok(None),
            false => Err(Error::UnsupportedMediaType("application/json")),
        }
    }
}

impl<S: Send + Sync, T: DeserializeOwned + PartialSchema> FromRequest<S> for BodyOrForm<T> {
    type Rejection = Error;

    async fn from_request(request: Request, _: &S) -> Result<Self> {
        match media_type(&request) {
            Some(Media::Json) => Ok(Self(parse(&read(request).await?)?)),
            Some(Media::Form) => Ok(Self(parse_form(&read(request).await?)?)),
            None => Err(Error::UnsupportedMediaType(
                "application/json or application/x-www-form-urlencoded",
            )),
        }
    }
}

enum Media {
    Json,
    Form,
}

fn media_type(request: &Request) -> Option<Media> {
    let header = request.headers().get(CONTENT_TYPE)?.to_str().ok()?;
    let essence = header.split(';').next()?.trim().to_ascii_lowercase();
    match essence.as_str() {
        "application/json" => Some(Media::Json),
        "application/x-www-form-urlencoded" => Some(Media::Form),
        other if other.starts_with("application/") && other.ends_with("+json") => Some(Media::Json),
        _ => None,
    }
}

async fn read(request: Request) -> Result<Bytes> {
    let body = axum::body::to_bytes(request.into_body(), LIMIT).await;
    body.map_err(|_| Error::BodyTooLarge(LIMIT))
}

fn parse<T: DeserializeOwned + PartialSchema>(json: &[u8]) -> Result<T> {
    let error = match serde_json::from_slice(json) {
        Ok(body) => return Ok(body),
        Err(error) => error,
    };
    match error.classify() {
        Category::Data => Err(wrong_fields::<T>(json)),
        Category::Syntax | Category::Eof | Category::Io => Err(Error::MalformedBody("valid JSON")),
    }
}

fn parse_form<T: DeserializeOwned + PartialSchema>(form: &[u8]) -> Result<T> {
    let text = std::str::from_utf8(form).map_err(|_| Error::MalformedBody("a valid form"))?;
    let known = fields_of::<T>();
    let pairs = url::form_urlencoded::parse(text.as_bytes());
    let fields = pairs.filter(|(name, _)| known.all.iter().any(|field| field == name));
    let fields = fields.map(|(name, value)| (name.into_owned(), Value::String(value.into_owned())));
    let json = Value::Object(fields.collect()).to_string();
    parse(json.as_bytes())
}

/// Tells all that is wrong with a body that is JSON but not a `T`.
fn wrong_fields<T: DeserializeOwned + PartialSchema>(json: &[u8]) -> Error {
    let Ok(mut body) = serde_json::from_slice::<Value>(json) else {
        return Error::MalformedBody("valid JSON");
    };
    let Some(sent) = body.as_object() else {
        return Error::invalid("", "invalid_type", "must be a JSON object");
    };
    let required = fields_of::<T>().required.into_iter();
    let missing: Vec<_> = required.filter(|name| !sent.contains_key(name)).collect();
    let mut errors = Vec::new();
    while errors.len() < MOST_ERRORS {
        let Err(error) = serde_path_to_error::deserialize::<_, T>(&body) else {
            break;
        };
        let message = error.inner().to_string();
        let path = error.path().to_string();
        let is_root = path == ".";
        if let Some(name) = quoted(&message, "missing field `") {
            // At the root this is a required field, or a wrong one that was taken out: both are told already.
            if !is_root {
                errors.push(field_error(
                    format!("{path}.{name}"),
                    "required",
                    "is required",
                ));
            }
            break;
        }
        let unknown = quoted(&message, "unknown field `").filter(|name| !path.ends_with(name));
        let path = match unknown {
            Some(name) if is_root => name.to_owned(),
            Some(name) => format!("{path}.{name}"),
            None => path,
        };
        let removed = remove(&mut body, &path);
        errors.push(explain(path, &message));
        if !removed {
            break;
        }
    }
    let missing = missing.into_iter();
    errors.extend(missing.map(|name| field_error(name, "required", "is required")));
    match errors.is_empty() {
        // Only a field that was sent twice is wrong as text and right as a value.
        true => Error::MalformedBody("an object that has each field once"),
        false => Error::Invalid(errors),
    }
}

fn explain(field: String, message: &str) -> FieldError {
    // What our own types say comes as "[code] message"; see `models::text::Invalid`.
    if let Some((code, message)) = message.strip_prefix('[').and_then(|m| m.split_once("] ")) {
        return field_error(field, code, message);
    }
    if message.starts_with("unknown field") {
        return field_error(field, "unknown_field", "is not a field of this body");
    }
    let code = match message.starts_with("invalid type") {
        true => "invalid_type",
        false => "invalid_value",
    };
    field_error(field, code, message)
}

fn field_error(field: impl Into<String>, code: &str, message: &str) -> FieldError {
    FieldError {
        field: field.into(),
        message: message.to_owned(),
        code: code.to_owned(),
    }
}

/// The name between `start` and the next backtick.
fn quoted<'a>(message: &'a str, start: &str) -> Option<&'a str> {
    message.strip_prefix(start)?.split('`').next()
}

/// Takes the value at a path like `a.b[2].c` out of its object; an element of a list takes the list with it.
fn remove(body: &mut Value, path: &str) -> bool {
    let path = path.split('[').next().unwrap_or(path);
    let (parent, name) = path.rsplit_once('.').unwrap_or(("", path));
    let mut value = body;
    for name in parent.split('.').filter(|name| !name.is_empty()) {
        match value.get_mut(name) {
            Some(inner) => value = inner,
            None => return false,
        }
    }
    let object = value.as_object_mut();
    object.is_some_and(|object| object.remove(name).is_some())
}

struct Fields {
    all: Vec<String>,
    required: Vec<String>,
}

/// The fields of a body by its OpenAPI schema, which is derived from the same type.
fn fields_of<T: PartialSchema>() -> Fields {
    match T::schema() {
        RefOr::T(Schema::Object(object)) => Fields {
            all: object.properties.into_keys().collect(),
            required: object.required,
        },
        _ => Fields {
            all: Vec::new(),
            required: Vec::new(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::text::{Email, Username};
    use serde::Deserialize;
    use utoipa::ToSchema;

    #[derive(Debug, Deserialize, ToSchema)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its parsing is tested")]
    struct Sample {
        email: Email,
        username: Option<Username>,
        age: u8,
        #[serde(default)]
        tags: Vec<Username>,
    }

    fn told(json: &str) -> Vec<(String, String)> {
        match parse::<Sample>(json.as_bytes()) {
            Err(Error::Invalid(errors)) => errors.into_iter().map(|e| (e.field, e.code)).collect(),
            other => vec![(format!("{other:?}"), String::new())],
        }
    }

    fn check(json: &str, expected: &[(&str, &str)]) {
        let expected: Vec<_> = expected
            .iter()
            .map(|(field, code)| ((*field).to_owned(), (*code).to_owned()))
            .collect();
        assert_eq!(told(json), expected, "for {json}");
    }

    #[test]
    fn every_wrong_field_is_told() {
        check("{}", &[("email", "required"), ("age", "required")]);
        check(
            r#"{"email":"no","age":"x","username":"a b","role":"admin","extra":1}"#,
            &[
                ("age", "invalid_type"),
                ("email", "invalid_email"),
                ("extra", "unknown_field"),
                ("role", "unknown_field"),
                ("username", "invalid_character"),
            ],
        );
        check(
            r#"{"email":"no","username":"ab"}"#,
            &[
                ("email", "invalid_email"),
                ("username", "too_short"),
                ("age", "required"),
            ],
        );
        check(
            r#"{"email":"a@example.com","age":300,"tags":["ok1","no no"]}"#,
            &[("age", "invalid_value"), ("tags[1]", "invalid_character")],
        );
        check("[]", &[("", "invalid_type")]);
        check(r#"{"email":null,"age":1}"#, &[("email", "invalid_type")]);
    }

    #[test]
    fn what_is_not_json_is_malformed() {
        for json in ["", "{", "{\"a\":}", "nonsense", "\u{feff}{}"] {
            let error = parse::<Sample>(json.as_bytes()).unwrap_err();
            assert!(
                matches!(error, Error::MalformedBody(_)),
                "{json}: {error:?}"
            );
        }
        let not_utf8 = b"{\"email\":\"\xff@example.com\",\"age\":1}";
        let error = parse::<Sample>(not_utf8).unwrap_err();
        assert!(matches!(error, Error::MalformedBody(_)), "{error:?}");
        let twice = br#"{"email":"a@example.com","email":"b@example.com","age":1}"#;
        let error = parse::<Sample>(twice).unwrap_err();
        assert!(matches!(error, Error::MalformedBody(_)), "{error:?}");
    }

    #[test]
    fn a_form_ignores_unknown_fields() {
        #[derive(Debug, Deserialize, ToSchema)]
        #[serde(deny_unknown_fields)]
        struct Login {
            username: String,
        }
        let login: Login = parse_form(b"username=ada%40example.com&grant_type=password").unwrap();
        assert_eq!(login.username, "ada@example.com");
    }
}
