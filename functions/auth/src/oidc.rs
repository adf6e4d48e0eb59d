//! `GET /auth/oidc/{provider}/login` and `GET /auth/oidc/{provider}/callback`

mod address;
mod cookie;
mod http;
mod provider;

use ::http::header::{LOCATION, SET_COOKIE};
use ::http::{HeaderMap, StatusCode};
use axum::Extension;
use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use shared::auth::OneTimeToken;
use shared::config::OidcProvider;
use shared::http::{Problem, RequestInfo};
use shared::metrics::Count;
use shared::models::User;
use shared::models::audit::AuditEntry;
use shared::models::session::Session;
use shared::store::oidc::OidcLogin;
use shared::store::rates::Rule;
use shared::{App, Error, Result};
use url::form_urlencoded;

pub(crate) use self::provider::Providers;
use self::provider::{Proof, Provider};
use crate::token::Token;

/// Log in with a provider
///
/// Sends the browser to an OpenID provider, which sends it back to the callback within ten minutes. Limited per
/// address, together with the callback.
#[utoipa::path(
    get, path = "/oidc/{provider}/login", tag = "auth", params(("provider" = String, Path, example = "google")),
    responses(
        (status = 302, description = "To the provider's login page, with a cookie that the callback needs"),
        (status = 404, description = "No provider has this name", body = Problem),
        (status = 429, description = "Too many logins from this address", body = Problem),
        (status = 503, description = "The provider does not answer", body = Problem),
    )
)]
pub(crate) async fn begin_oidc_login(
    State(app): State<App>,
    Extension(providers): Extension<Providers>,
    info: RequestInfo,
    Path(name): Path<String>,
) -> Result<Response> {
    limit(&app, &info).await?;
    let config = find(&app, &name)?;
    let provider = providers.get(&app, &info, config).await?;
    let secrets = Secrets::new()?;
    let login = OidcLogin {
        provider: name,
        nonce: secrets.nonce.reveal().to_owned(),
        verifier: secrets.verifier.reveal().to_owned(),
        browser: secrets.browser.hash(),
    };
    app.store.keep_oidc_login(&secrets.state, login).await?;
    let cookie = cookie::keep(&app.config, secrets.browser.reveal());
    let headers = [
        (LOCATION, provider.login_url(&secrets)),
        (SET_COOKIE, cookie),
    ];
    Ok((StatusCode::FOUND, headers).into_response())
}

/// Finish a login with a provider
///
/// Where the provider sends the browser back to. Somebody new gets an account, if the provider says that their e-mail
/// address is verified; somebody who has one with the same address, verified here too, gets it linked, unless somebody
/// else at the provider has it already. The account is told.
#[utoipa::path(
    get, path = "/oidc/{provider}/callback", tag = "auth",
    params(
        ("provider" = String, Path, example = "google"),
        ("state" = Option<String>, Query, description = "What the login has sent along",
            example = "vYb7LhN4cJd9SgPfAeU3iq8ZrT2mWxK0q8ZrT2mWxK0"),
        ("code" = Option<String>, Query, description = "What the provider gives tokens for",
            example = "SplxlOBeZQQYbYS6WxSbIA"),
        ("error" = Option<String>, Query, description = "Why there is no code", example = "access_denied"),
    ),
    responses(
        (status = 200, description = "Access and refresh token", body = Token),
        (status = 400, description = "`oidc_refused`: the login was begun elsewhere, is over, or is not valid", body = Problem),
        (status = 403, description = "`account_inactive`", body = Problem),
        (status = 404, description = "No provider has this name", body = Problem),
        (status = 409, description = "`email_taken`, by an account that is not verified or is somebody else's there; `stale`", body = Problem),
        (status = 429, description = "Too many logins from this address", body = Problem),
        (status = 503, description = "The provider does not answer", body = Problem),
    )
)]
pub(crate) async fn finish_oidc_login(
    State(app): State<App>,
    Extension(providers): Extension<Providers>,
    info: RequestInfo,
    headers: HeaderMap,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response> {
    limit(&app, &info).await?;
    let config = find(&app, &name)?;
    let returned = Returned::parse(&query.unwrap_or_default());
    let login = take_login(&app, config, &headers, &returned).await?;
    let code = returned.code(config)?;
    let provider = providers.get(&app, &info, config).await?;
    let proof = provider.redeem(code, login).await?;
    let user = account(&app, &info, config, &provider, &proof).await?;
    if !user.is_active {
        return Err(Error::AccountInactive);
    }

    let ip = info.ip().to_string();
    let session = Session::begin(&user, app.clock.now(), ip, info.user_agent());
    let audit = entry("session.began_by_oidc", &user, &info, config).about(session.id);
    app.store.begin_session_of(&user, &session, &audit).await?;
    app.metrics.add(Count::Logins, 1);
    info.note_user(user.id);
    let token = Token::of(&app, &info, &user, session.id, 0)?;
    let forget = [(SET_COOKIE, cookie::forget(&app.config))];
    Ok((forget, token).into_response())
}

/// What a login is made of. Each is known to another: the provider, the browser's URL, its cookie, and us.
pub(crate) struct Secrets {
    state: OneTimeToken,
    nonce: OneTimeToken,
    verifier: OneTimeToken,
    browser: OneTimeToken,
}

impl Secrets {
    fn new() -> Result<Self> {
        Ok(Self {
            state: OneTimeToken::new()?,
            nonce: OneTimeToken::new()?,
            verifier: OneTimeToken::new()?,
            browser: OneTimeToken::new()?,
        })
    }
}

/// What a browser brings back from a provider (RFC 6749, section 4.1.2; RFC 9207).
#[derive(Default)]
struct Returned {
    state: Option<String>,
    code: Option<String>,
    error: Option<String>,
    issuer: Option<String>,
}

impl Returned {
    fn parse(query: &str) -> Self {
        let mut returned = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let field = match name.as_ref() {
                "state" => &mut returned.state,
                "code" => &mut returned.code,
                "error" => &mut returned.error,
                "iss" => &mut returned.issuer,
                _ => continue,
            };
            *field = Some(value.into_owned());
        }
        returned
    }

    /// The code, if it is from this provider.
    fn code(self, config: &OidcProvider) -> Result<String> {
        if self.issuer.is_some_and(|issuer| issuer != config.issuer) {
            return Err(Error::OidcRefused("another provider has sent it"));
        }
        if self.error.is_some() {
            return Err(Error::OidcRefused("the provider has let nobody in"));
        }
        let code = self.code.filter(|code| !code.is_empty());
        code.ok_or(Error::OidcRefused("it has no code"))
    }
}

async fn limit(app: &App, info: &RequestInfo) -> Result<()> {
    let rule = Rule {
        name: "oidc",
        limit: app.config.limits.logins_per_minute,
        seconds: 60,
    };
    let window = rule.window(&info.limit_subject(), app.clock.now());
    info.note_limit(app.store.take(&window).await?);
    Ok(())
}

fn find<'a>(app: &'a App, name: &str) -> Result<&'a OidcProvider> {
    let mut providers = app.config.oidc_providers.iter();
    let found = providers.find(|provider| provider.name == name);
    found.ok_or(Error::NotFound("provider of this name"))
}

/// The login that comes back, which is over by that whatever comes of it.
async fn take_login(
    app: &App,
    config: &OidcProvider,
    headers: &HeaderMap,
    returned: &Returned,
) -> Result<OidcLogin> {
    // One answer for all of it: whoever tries things learns nothing.
    let refused = Error::OidcRefused("it was not begun in this browser, or is over");
    let (Some(state), Some(browser)) = (&returned.state, cookie::read(&app.config, headers)) else {
        return Err(refused);
    };
    let login = app.store.take_oidc_login(state, &config.name, browser);
    login.await?.ok_or(refused)
}

/// The account of who has logged in: the one that is linked, one with the same verified address, or a new one.
async fn account(
    app: &App,
    info: &RequestInfo,
    config: &OidcProvider,
    provider: &Provider<'_>,
    proof: &Proof,
) -> Result<User> {
    let identity = provider.identity(proof);
    if let Some(user) = app.store.user_of_identity(&identity).await? {
        return Ok(user);
    }
    let person = provider.person(proof).await?;
    match app.store.user_by_email(&person.email).await? {
        // Whoever has registered this address has never shown that it is theirs, and may have done it to wait for its
        // owner: linked, both could use the account, the stranger with the password they chose (pre-hijacking). The
        // owner takes it over by resetting that password, which proves the address and ends all sessions; then this
        // login works.
        Some(user) if !user.is_verified => Err(Error::EmailTaken),
        Some(user) if !user.is_active => Err(Error::AccountInactive),
        Some(user) => {
            // Known there by another subject: the address has changed hands, or one of the two was let have it for a
            // while. Resetting the password frees the account of whoever was linked; then this login works.
            if app.store.has_identity_at(user.id, &config.name).await? {
                return Err(Error::EmailTaken);
            }
            let audit = entry("user.linked_oidc", &user, info, config);
            app.store.link_identity(&identity, &user, &audit).await?;
            Ok(user)
        }
        None => {
            let mut user = User {
                first_name: person.first_name,
                last_name: person.last_name,
                is_verified: true,
                ..User::new(person.email)
            };
            user.complete_full_name();
            let audit = entry("user.registered_by_oidc", &user, info, config);
            let store = &app.store;
            store.create_account_of(&identity, &user, &audit).await?;
            app.metrics.add(Count::Registrations, 1);
            Ok(user)
        }
    }
}

/// An entry of the audit trail, which names the provider.
fn entry(action: &str, user: &User, info: &RequestInfo, config: &OidcProvider) -> AuditEntry {
    #[derive(Serialize)]
    struct By<'a> {
        provider: &'a str,
    }
    let by = By {
        provider: &config.name,
    };
    let entry = AuditEntry::new(action, Some(user.id), &info.ip().to_string());
    entry.with_changes(&(), &by)
}
