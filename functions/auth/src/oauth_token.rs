//! `POST /auth/token`, and what it has in common with introspection and revocation: the form, and the client that
//! sends it.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{FromRequest, Request, State};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use serde::Serialize;
use shared::auth::tokens::ACCESS_LIFETIME;
use shared::config::Hidden;
use shared::http::{RequestInfo, body};
use shared::models::client::ServiceClient;
use shared::models::text::LoginName;
use shared::store::rates::Rule;
use shared::{App, Error};
use url::form_urlencoded;
use utoipa::ToSchema;

use crate::oauth_error::{OauthError, OauthProblem};
use crate::token::Token;
use crate::{login, refresh};

/// Token
///
/// RFC 6749, as a form. `client_credentials` gives a service client a token of its own, with the scope that it asks for
/// or all that it may have, and no refresh token; it is limited per client. `refresh_token` gives a user new tokens, as
/// `/auth/refresh` does. `password` logs a user in, as `/auth/login` does, where the configuration allows it.
#[utoipa::path(
    post, path = "/token", tag = "auth", security(("client" = []), ()),
    request_body(content = TokenRequest, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "A token", body = Issued),
        (status = 400, description = "`invalid_request`, `invalid_grant`, `invalid_scope`, `unauthorized_client` or `unsupported_grant_type`", body = OauthProblem),
        (status = 401, description = "`invalid_client`", body = OauthProblem),
        (status = 429, description = "`slow_down`", body = OauthProblem),
    )
)]
pub(crate) async fn issue_token(
    State(app): State<App>,
    info: RequestInfo,
    form: OauthForm,
) -> Result<Json<Issued>, OauthError> {
    let issued = match form.required("grant_type")? {
        "client_credentials" => {
            let client = form.authenticate(&app, &info).await?;
            limit_tokens(&app, &info, &client).await?;
            Issued::Service(ServiceToken::of(&app, &info, &client, form.get("scope"))?)
        }
        "refresh_token" => {
            form.refuse_service(&app, &info).await?;
            let token = form.required("refresh_token")?;
            let rotated = refresh::rotate(&app, &info, token).await;
            Issued::User(rotated.map_err(refused_grant)?)
        }
        "password" if app.config.allow_password_grant => {
            form.refuse_service(&app, &info).await?;
            let name = LoginName::parse(form.required("username")?);
            let password = form.required("password")?;
            let began = login::by_password(&app, &info, name, password).await;
            Issued::User(began.map_err(refused_grant)?)
        }
        _ => return Err(OauthError::UnsupportedGrantType),
    };
    Ok(Json(issued))
}

/// The parameters of a token request; each may be there once.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "it only describes; the form is read by its rules, not by its fields"
)]
#[schema(example = json!({"grant_type": "client_credentials", "scope": "orders:read"}))]
pub(crate) struct TokenRequest {
    #[schema(example = "client_credentials")]
    grant_type: String,
    /// With `client_credentials`: names separated by spaces.
    #[schema(example = "orders:read")]
    scope: Option<String>,
    /// With `refresh_token`.
    #[schema(example = "q8ZrT2mWxK0vYb7LhN4cJd9SgPfAeU3iq8ZrT2mWxK0")]
    refresh_token: Option<String>,
    /// With `password`: an e-mail address or a user name.
    username: Option<String>,
    /// With `password`.
    #[schema(format = "password")]
    password: Option<String>,
    /// Instead of `Authorization: Basic …`.
    client_id: Option<String>,
    /// Instead of `Authorization: Basic …`.
    #[schema(format = "password")]
    client_secret: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum Issued {
    User(Token),
    Service(ServiceToken),
}

/// A service client's token. It fetches another with its secret, so that it needs no refresh token (RFC 6749, section
/// 4.4.3).
#[derive(Serialize, ToSchema)]
pub(crate) struct ServiceToken {
    /// A JWT (RFC 9068), to be sent as `Authorization: Bearer …`.
    #[schema(
        example = "eyJ0eXAiOiJhdCtqd3QiLCJhbGciOiJFZERTQSJ9.eyJzdWIiOiIwMTk4YzhmNSJ9.c2lnbmF0dXJl"
    )]
    access_token: String,
    #[schema(example = "bearer")]
    token_type: &'static str,
    /// Seconds until it ends.
    #[schema(example = 900)]
    expires_in: i64,
    #[schema(example = "orders:read")]
    scope: String,
}

impl ServiceToken {
    fn of(
        app: &App,
        info: &RequestInfo,
        client: &ServiceClient,
        wish: Option<&str>,
    ) -> Result<Self, OauthError> {
        let scope = client.grant(wish).ok_or(OauthError::InvalidScope)?;
        let (url, now) = (info.public_url(&app.config), app.clock.seconds());
        let keys = app.signing()?;
        Ok(Self {
            access_token: keys.sign_service(&url, client.id, &scope, now)?,
            token_type: "bearer",
            expires_in: ACCESS_LIFETIME,
            scope,
        })
    }
}

/// What a login or a refresh was refused for, as OAuth says it.
fn refused_grant(error: Error) -> OauthError {
    match error {
        Error::InvalidRefreshToken | Error::InvalidCredentials | Error::AccountInactive => {
            OauthError::InvalidGrant
        }
        other => OauthError::House(other),
    }
}

/// Comes after the client was authenticated: nobody can use up the limit of another.
async fn limit_tokens(
    app: &App,
    info: &RequestInfo,
    client: &ServiceClient,
) -> Result<(), OauthError> {
    let rule = Rule {
        name: "token",
        limit: app.config.limits.tokens_per_minute,
        seconds: 60,
    };
    let window = rule.window(&client.id.to_string(), app.clock.now());
    info.note_limit(app.store.take(&window).await?);
    Ok(())
}

/// A form of OAuth: its parameters, and the credentials of the client that sends it, which are not checked yet.
pub(crate) struct OauthForm {
    parameters: BTreeMap<String, String>,
    credentials: Option<Credentials>,
}

struct Credentials {
    client_id: String,
    secret: Hidden,
}

impl<S: Send + Sync> FromRequest<S> for OauthForm {
    type Rejection = OauthError;

    async fn from_request(request: Request, _: &S) -> Result<Self, OauthError> {
        let (parts, body) = request.into_parts();
        if !is_form(&parts.headers) {
            return Err(OauthError::InvalidRequest(
                "Send the parameters as application/x-www-form-urlencoded.".to_owned(),
            ));
        }
        let body = axum::body::to_bytes(body, body::LIMIT).await;
        let body = body.map_err(|_| Error::BodyTooLarge(body::LIMIT))?;
        let parameters = parse(&body)?;
        Ok(Self {
            credentials: credentials(&parts.headers, &parameters)?,
            parameters,
        })
    }
}

impl OauthForm {
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }

    pub(crate) fn required(&self, name: &str) -> Result<&str, OauthError> {
        let missing = || OauthError::InvalidRequest(format!("The parameter {name} is missing."));
        self.get(name).ok_or_else(missing)
    }

    /// The client that sends the form. One read.
    ///
    /// Only failures are counted, per address: whoever has a secret costs no write here.
    pub(crate) async fn authenticate(
        &self,
        app: &App,
        info: &RequestInfo,
    ) -> Result<ServiceClient, OauthError> {
        let sent = self.credentials.as_ref();
        let Credentials { client_id, secret } = sent.ok_or(OauthError::InvalidClient)?;
        let rule = Rule {
            name: "client",
            limit: app.config.limits.tokens_per_minute,
            seconds: 60,
        };
        let failures = rule.window(&info.limit_subject(), app.clock.now());
        let id = client_id.parse().ok();
        let found = app
            .store
            .authenticate_client(id, secret.reveal(), &failures);
        let (client, state) = found.await?;
        match client {
            // Nobody guesses 256 bits: who is right is let in, whatever others behind the same address do.
            Some(client) => Ok(client),
            None if state.remaining == 0 => Err(Error::RateLimited(state).into()),
            None => {
                app.store.take(&failures).await?;
                Err(OauthError::InvalidClient)
            }
        }
    }

    /// Refuses a service client where tokens of users are given: no refresh token was issued to one (RFC 6749,
    /// section 6), and none is to see a password.
    async fn refuse_service(&self, app: &App, info: &RequestInfo) -> Result<(), OauthError> {
        if self.credentials.is_none() {
            return Ok(());
        }
        self.authenticate(app, info).await?;
        Err(OauthError::UnauthorizedClient)
    }
}

fn is_form(headers: &HeaderMap) -> bool {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    let essence = kind.and_then(|kind| kind.split(';').next());
    essence.is_some_and(|essence| {
        essence
            .trim()
            .eq_ignore_ascii_case("application/x-www-form-urlencoded")
    })
}

/// RFC 6749, section 3.2: a parameter is there once, and one without a value is as good as absent.
fn parse(body: &[u8]) -> Result<BTreeMap<String, String>, OauthError> {
    let mut parameters = BTreeMap::new();
    for (name, value) in form_urlencoded::parse(body).into_owned() {
        if parameters.insert(name, value).is_some() {
            return Err(OauthError::InvalidRequest(
                "A parameter is there more than once.".to_owned(),
            ));
        }
    }
    parameters.retain(|_, value| !value.is_empty());
    Ok(parameters)
}

/// RFC 6749, section 2.3.1: in the header or in the form, and not in both.
fn credentials(
    headers: &HeaderMap,
    parameters: &BTreeMap<String, String>,
) -> Result<Option<Credentials>, OauthError> {
    let id = parameters.get("client_id");
    let secret = parameters.get("client_secret");
    match (basic(headers)?, id, secret) {
        (basic, None, None) => Ok(basic),
        (None, Some(id), Some(secret)) => Ok(Some(Credentials {
            client_id: id.clone(),
            secret: Hidden::new(secret),
        })),
        // The name that an application without a secret gives itself (RFC 6749, section 2.1). It proves nothing, and
        // opens nothing. A service client's id is a UUID, and comes with its secret.
        (None, Some(id), None) if id.parse::<uuid::Uuid>().is_err() => Ok(None),
        (None, _, _) => Err(OauthError::InvalidClient),
        (Some(basic), Some(id), None) if *id == basic.client_id => Ok(Some(basic)),
        (Some(_), _, _) => Err(OauthError::InvalidRequest(
            "The client is to authenticate in one way only.".to_owned(),
        )),
    }
}

/// The credentials of the header. Another scheme is none of ours; an empty pair is what pages send that have no client.
fn basic(headers: &HeaderMap) -> Result<Option<Credentials>, OauthError> {
    let header = headers.get(AUTHORIZATION).and_then(|h| h.to_str().ok());
    let encoded = match header.and_then(|header| header.split_once(' ')) {
        Some((scheme, encoded)) if scheme.eq_ignore_ascii_case("basic") => encoded.trim(),
        _ => return Ok(None),
    };
    let (client_id, secret) = decode_pair(encoded).ok_or(OauthError::InvalidClient)?;
    let is_empty = client_id.is_empty() && secret.is_empty();
    Ok((!is_empty).then(|| Credentials {
        client_id,
        secret: Hidden::new(secret),
    }))
}

fn decode_pair(encoded: &str) -> Option<(String, String)> {
    let pair = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
    let (id, secret) = pair.split_once(':')?;
    Some((decode(id)?, decode(secret)?))
}

/// Each half of the pair is encoded as a value in a form.
fn decode(value: &str) -> Option<String> {
    let form = format!("={value}");
    let mut pairs = form_urlencoded::parse(form.as_bytes());
    let (_, value) = pairs.next()?;
    // An ampersand would have been encoded.
    pairs.next().is_none().then(|| value.into_owned())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn word(error: OauthError) -> String {
        let whole = format!("{error:?}");
        let word = whole.split('(').next();
        word.unwrap_or_default().to_owned()
    }

    #[test]
    fn parameters_are_there_once_and_have_a_value() {
        let check = |form: &str, expected: Result<&[(&str, &str)], &str>| {
            let found = parse(form.as_bytes()).map_err(word);
            let owned = |pairs: &[(&str, &str)]| {
                let pairs = pairs.iter();
                pairs
                    .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                    .collect::<BTreeMap<_, _>>()
            };
            let expected = expected.map(owned).map_err(str::to_owned);
            assert_eq!(found, expected, "for {form}");
        };
        check("", Ok(&[]));
        check("a=1&b=x+y%26", Ok(&[("a", "1"), ("b", "x y&")]));
        check("a=&b&c=1", Ok(&[("c", "1")]));
        check("a=1&a=1", Err("InvalidRequest"));
        check("a=&a=1", Err("InvalidRequest"));
        check("unknown=1&%75nknown=2", Err("InvalidRequest"));
    }

    #[test]
    fn a_client_authenticates_in_one_way() {
        let check = |header: Option<&str>, form: &str, expected: Result<Option<&str>, &str>| {
            let mut headers = HeaderMap::new();
            if let Some(header) = header {
                headers.insert(AUTHORIZATION, HeaderValue::from_str(header).unwrap());
            }
            let found = credentials(&headers, &parse(form.as_bytes()).unwrap());
            let pair = |sent: Credentials| format!("{} {}", sent.client_id, sent.secret.reveal());
            let found = found.map(|sent| sent.map(pair)).map_err(word);
            let expected = expected.map(|pair| pair.map(str::to_owned));
            let expected = expected.map_err(str::to_owned);
            assert_eq!(found, expected, "for {header:?} and {form}");
        };
        let basic = |pair: &str| format!("Basic {}", STANDARD.encode(pair));
        let ours = basic("id:secret");
        let ours = Some(ours.as_str());

        check(None, "", Ok(None));
        check(ours, "", Ok(Some("id secret")));
        check(
            Some(&basic("id:secret").replace("Basic", "bAsIc ")),
            "",
            Ok(Some("id secret")),
        );
        check(None, "client_id=id&client_secret=s%2Bt", Ok(Some("id s+t")));
        check(ours, "client_id=id", Ok(Some("id secret")));
        check(Some(&basic("a%3Ab+c:s%2B=:t")), "", Ok(Some("a:b c s+=:t")));
        // Not for us, or nothing.
        check(Some("Bearer x"), "", Ok(None));
        check(Some(&basic(":")), "", Ok(None));
        check(Some("Basic"), "", Ok(None));
        check(None, "client_id=&client_secret=", Ok(None));

        check(None, "client_id=an-app", Ok(None));
        let service = "client_id=01a1fd70-0000-7000-8000-000000000000";
        check(None, service, Err("InvalidClient"));
        check(None, "client_secret=secret", Err("InvalidClient"));
        check(None, "client_secret=secret", Err("InvalidClient"));
        check(Some("Basic ?"), "", Err("InvalidClient"));
        check(Some(&basic("id")), "", Err("InvalidClient"));
        check(Some(&basic("id:a&b=c")), "", Err("InvalidClient"));
        check(ours, "client_id=other", Err("InvalidRequest"));
        check(ours, "client_secret=secret", Err("InvalidRequest"));
        check(
            ours,
            "client_id=id&client_secret=secret",
            Err("InvalidRequest"),
        );
    }
}
