//! Request bodies: JSON into types that prove themselves.
//!
//! A body's fields are of types whose `Deserialize` checks their rule (`models::text`), so a body that exists
//! is valid. serde stops at the first field that is wrong; clients want all of them. So when it stops, the
//! body is read again, field after wrong field taken out, until every one of them has been told.
//!
//! Some programs write numbers that JSON cannot hold: `NaN`, `Infinity`, or more than a float can be. To whoever has
//! sent one, the name of the field is worth more than that the body is malformed. So where nothing else is wrong with
//! the syntax, such a number is a wrong field like the others.

use axum::body::Bytes;
use axum::extract::{FromRequest, OptionalFromRequest, Request};
use http::header::CONTENT_TYPE;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;
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

/// A `T` of JSON, or every field that is wrong.
pub fn parse<T: DeserializeOwned + PartialSchema>(json: &[u8]) -> Result<T> {
    serde_json::from_slice(json).map_err(|_| wrong_fields::<T>(json))
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

/// Tells all that is wrong with a body that is not a `T`.
fn wrong_fields<T: DeserializeOwned + PartialSchema>(json: &[u8]) -> Error {
    let mut marks = Marks::new();
    let read = serde_json::from_slice::<Value>(json).ok();
    let Some(mut body) = read.or_else(|| marks.read(json)) else {
        return Error::MalformedBody("valid JSON");
    };
    let required = fields_of::<T>().required.into_iter();
    let missing: Vec<_> = required.filter(|name| body.get(name).is_none()).collect();
    let Some(mut errors) = marks.tell(&mut body) else {
        return Error::MalformedBody("valid JSON");
    };
    if !body.is_object() {
        return Error::invalid("", "invalid_type", "must be a JSON object");
    }
    while errors.len() < MOST_ERRORS {
        let Err(error) = serde_path_to_error::deserialize::<_, T>(&body) else {
            break;
        };
        let message = error.inner().to_string();
        let path = error.path().to_string();
        let is_root = path == ".";
        if let Some(name) = quoted(&message, "missing field `") {
            // What was taken out is told already, and at the root so is every required field.
            let field = format!("{path}.{name}");
            if !is_root && errors.iter().all(|told| told.field != field) {
                errors.push(field_error(field, "required", "is required"));
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

/// The numbers of a body that JSON cannot hold. A text that nobody sends by chance is put into their places, so that
/// the rest can be read.
struct Marks {
    text: String,
    /// How many were put into the body, and how many of them were found again.
    made: usize,
    found: usize,
    /// Where they are looked for.
    path: String,
    errors: Vec<FieldError>,
}

impl Marks {
    fn new() -> Self {
        Self {
            text: format!("{:016x}", fastrand::u64(..)),
            made: 0,
            found: 0,
            path: String::new(),
            errors: Vec::new(),
        }
    }

    /// Reads what is JSON but for such numbers, with the marks in it.
    fn read(&mut self, json: &[u8]) -> Option<Value> {
        let mut rest = std::str::from_utf8(json).ok()?;
        let mut marked = String::with_capacity(rest.len());
        while !rest.is_empty() {
            let (token, after) = rest.split_at(token_length(rest));
            match is_beyond_json(token) {
                true => {
                    self.made += 1;
                    marked += &format!("\"{}\"", self.text);
                }
                false => marked += token,
            }
            rest = after;
        }
        match self.made {
            0 => None,
            _ => serde_json::from_str(&marked).ok(),
        }
    }

    /// Takes the marks out of the body, and tells where they were. `None` if one is no value of it, but the name of a
    /// field, or in a field that was sent again.
    fn tell(mut self, body: &mut Value) -> Option<Vec<FieldError>> {
        if self.made > 0 {
            self.take_out(body);
        }
        (self.found == self.made).then_some(self.errors)
    }

    /// Whether the value must go as a whole, because it is a mark or a list that holds one.
    fn take_out(&mut self, value: &mut Value) -> bool {
        let (found, end) = (self.found, self.path.len());
        match value {
            Value::String(text) if *text == self.text => {
                self.note();
                true
            }
            Value::Array(list) => {
                for (index, element) in list.iter_mut().enumerate() {
                    self.path += &format!("[{index}]");
                    self.take_out(element);
                    self.path.truncate(end);
                }
                self.found > found
            }
            Value::Object(object) => {
                object.retain(|name, value| {
                    if end > 0 {
                        self.path.push('.');
                    }
                    self.path.push_str(name);
                    let goes = self.take_out(value);
                    self.path.truncate(end);
                    !goes
                });
                false
            }
            _ => false,
        }
    }

    fn note(&mut self) {
        self.found += 1;
        // A path repeats the names above it; the answer must not get larger than bodies are by that.
        let told: usize = self.errors.iter().map(|error| error.field.len()).sum();
        if self.errors.len() < MOST_ERRORS && told + self.path.len() <= LIMIT {
            let message = "must be a number that JSON can hold";
            self.errors
                .push(field_error(self.path.as_str(), "out_of_range", message));
        }
    }
}

/// The length of what a text begins with: a string, a word, or what is between them.
fn token_length(text: &str) -> usize {
    if let Some(string) = text.strip_prefix('"') {
        let mut is_escaped = false;
        let end = string.find(|c: char| {
            let is_end = c == '"' && !is_escaped;
            is_escaped = c == '\\' && !is_escaped;
            is_end
        });
        return end.map_or(text.len(), |end| end + 2);
    }
    let is_of_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    let is_word = text.starts_with(is_of_word);
    let end = text.find(|c: char| c == '"' || is_of_word(c) != is_word);
    end.unwrap_or(text.len())
}

/// Whether a token is meant as a number that JSON cannot hold.
fn is_beyond_json(token: &str) -> bool {
    if matches!(token, "NaN" | "Infinity" | "-Infinity") {
        return true;
    }
    // A number that follows the grammar, and still cannot be read, is too large.
    token.starts_with(|c: char| c == '-' || c.is_ascii_digit())
        && serde_json::from_str::<IgnoredAny>(token).is_ok()
        && serde_json::from_str::<f64>(token).is_err()
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
    use std::fmt::Debug;

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

    /// A body with an object in it.
    #[derive(Debug, Deserialize, ToSchema)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its parsing is tested")]
    struct Nested {
        line: Line,
    }

    #[derive(Debug, Deserialize, ToSchema)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its parsing is tested")]
    struct Line {
        price: f64,
        count: u8,
    }

    fn told<T: DeserializeOwned + PartialSchema + Debug>(json: &str) -> Vec<(String, String)> {
        match parse::<T>(json.as_bytes()) {
            Err(Error::Invalid(errors)) => errors.into_iter().map(|e| (e.field, e.code)).collect(),
            other => vec![(format!("{other:?}"), String::new())],
        }
    }

    fn check_as<T: DeserializeOwned + PartialSchema + Debug>(
        json: &str,
        expected: &[(&str, &str)],
    ) {
        let expected: Vec<_> = expected
            .iter()
            .map(|(field, code)| ((*field).to_owned(), (*code).to_owned()))
            .collect();
        assert_eq!(told::<T>(json), expected, "for {json}");
    }

    fn check(json: &str, expected: &[(&str, &str)]) {
        check_as::<Sample>(json, expected);
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
        check_as::<Nested>(
            r#"{"line":{"price":"1","count":1}}"#,
            &[("line.price", "invalid_type")],
        );
        check_as::<Nested>(r#"{"line":{"price":1}}"#, &[("line.count", "required")]);
    }

    #[test]
    fn a_number_that_json_cannot_hold_is_a_wrong_field() {
        let long = "9".repeat(400);
        for number in ["NaN", "Infinity", "-Infinity", "1e309", "-1.5E+400", &long] {
            check(
                &format!(r#" {{"email":"a@example.com","age":{number}}} "#),
                &[("age", "out_of_range")],
            );
        }
        check(
            r#"{"email":NaN,"age":-Infinity,"username":"a b","extra":1e309}"#,
            &[
                ("age", "out_of_range"),
                ("email", "out_of_range"),
                ("extra", "out_of_range"),
                ("username", "invalid_character"),
            ],
        );
        check(
            r#"{"username":1,"tags":["ok1",NaN,"no no",{"a":{"b":[0,Infinity]}}]}"#,
            &[
                ("tags[1]", "out_of_range"),
                ("tags[3].a.b[1]", "out_of_range"),
                ("username", "invalid_type"),
                ("email", "required"),
                ("age", "required"),
            ],
        );
        check_as::<Nested>(
            r#"{"line":{"price":NaN,"count":1}}"#,
            &[("line.price", "out_of_range")],
        );
        // Not where it is part of a text.
        check(
            r#"{"email":"\" NaN, 1e309 \\","username":"NaN","age":NaN}"#,
            &[("age", "out_of_range"), ("email", "invalid_email")],
        );
        check("NaN", &[("", "invalid_type")]);
        check("[1e309]", &[("", "invalid_type")]);
    }

    #[test]
    fn such_a_number_does_not_mend_what_is_malformed() {
        for json in [
            "{\"age\":NaN",
            "{\"age\":NaN,}",
            "{\"age\":NaN}{}",
            "{\"age\":NaN NaN}",
            "{\"age\":NaN,\"email\":x}",
            "{\"age\":NaN,\"age\":1}",
            "{\"age\":\"NaN}",
            "{\"age\"NaN:1}",
            "{NaN:1,\"age\":1}",
            "[{NaN:1}]",
            "{\"age\":nan}",
            "{\"age\":-NaN}",
            "{\"age\":+Infinity}",
            "{\"age\":NaN1}",
            "{\"age\":NaN_}",
            "{\"age\":NaNé}",
            "{\"age\":01e309}",
            "{\"age\":1.e309}",
            "{\"age\":1e309.5}",
            &format!("{}NaN{}", "[".repeat(200), "]".repeat(200)),
        ] {
            let error = parse::<Sample>(json.as_bytes()).unwrap_err();
            assert!(
                matches!(error, Error::MalformedBody(_)),
                "{json}: {error:?}"
            );
        }
        let not_utf8 = b"{\"email\":\"\xff\",\"age\":NaN}";
        let error = parse::<Sample>(not_utf8).unwrap_err();
        assert!(matches!(error, Error::MalformedBody(_)), "{error:?}");
    }

    #[test]
    fn what_is_told_of_such_numbers_has_an_end() {
        let many = ["NaN"; 1_000].join(",");
        let errors = told::<Sample>(&format!(r#"{{"tags":[{many}],"email":"no","age":1}}"#));
        assert_eq!(errors.len(), MOST_ERRORS);
        let long = "x".repeat(LIMIT * 3 / 10);
        let errors = told::<Sample>(&format!(r#"{{"{long}":[{many}],"email":"no","age":1}}"#));
        let (last, long_ones) = errors.split_last().unwrap();
        assert_eq!(last.0, "email");
        assert_eq!(long_ones.len(), 3);
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
