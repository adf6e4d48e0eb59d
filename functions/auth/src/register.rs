//! `POST /auth/register`

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::LOCATION;
use serde::Deserialize;
use shared::auth::passwords;
use shared::http::{Body, PREFIX, Problem, RequestInfo};
use shared::metrics::Count;
use shared::models::User;
use shared::models::audit::AuditEntry;
use shared::models::password::NewPassword;
use shared::models::text::{Email, Name, Phone, Username};
use shared::store::rates::Rule;
use shared::{App, Error, Result, wire};
use utoipa::ToSchema;

/// Register
///
/// Makes an account with the role `user` and queues what follows from it. Limited per address; only
/// requests with a valid body count.
#[utoipa::path(
    post, path = "/register", tag = "auth", request_body = NewAccount,
    responses(
        (status = 201, description = "The new user", body = wire::User, headers(("Location" = String))),
        (status = 409, description = "`email_taken` or `username_taken`", body = Problem),
        (status = 429, description = "Too many registrations from this address", body = Problem),
    )
)]
pub(crate) async fn register(
    State(app): State<App>,
    info: RequestInfo,
    Body(account): Body<NewAccount>,
) -> Result<Response> {
    let refused = |e: shared::models::text::Invalid| Error::invalid("password", e.code, e.message);
    account
        .password
        .differs_from(&account.email)
        .map_err(refused)?;

    let rule = Rule {
        name: "register",
        limit: app.config.limits.registrations_per_hour,
        seconds: 3_600,
    };
    let window = rule.window(&info.limit_subject(), app.clock.now());
    info.note_limit(app.store.take(&window).await?);

    let hash = passwords::hash(account.password.reveal()).await?;
    let user = account.into_user();
    let ip = info.ip().to_string();
    let audit = AuditEntry::new("user.registered", Some(user.id), &ip);
    app.store.create_account(&user, &hash, &audit).await?;
    app.metrics.add(Count::Registrations, 1);

    let location = format!("{PREFIX}/users/{}", user.id);
    let body = Json(wire::User::from(user));
    Ok((StatusCode::CREATED, [(LOCATION, location)], body).into_response())
}

/// Who wants an account. Role and state are not theirs to choose.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewAccount {
    email: Email,
    password: NewPassword,
    username: Option<Username>,
    first_name: Option<Name>,
    last_name: Option<Name>,
    /// First and last name, unless given.
    full_name: Option<Name>,
    desired_name: Option<Name>,
    phone: Option<Phone>,
}

impl NewAccount {
    fn into_user(self) -> User {
        let mut user = User {
            username: self.username,
            first_name: self.first_name,
            last_name: self.last_name,
            full_name: self.full_name,
            desired_name: self.desired_name,
            phone: self.phone,
            ..User::new(self.email)
        };
        user.complete_full_name();
        user
    }
}
