//! `POST /auth/logout`

use axum::extract::State;
use http::StatusCode;
use serde::Deserialize;
use shared::auth::CurrentUser;
use shared::http::{Body, RequestInfo};
use shared::models::audit::AuditEntry;
use shared::{App, Error, Result};
use utoipa::ToSchema;

/// Log out
///
/// Ends this session at once, or with `all` every session of the caller. The body may be left out.
#[utoipa::path(
    post, path = "/logout", tag = "auth", security(("bearer" = [])), request_body = Option<Logout>,
    responses(
        (status = 204, description = "Ended"),
    )
)]
pub(crate) async fn logout(
    State(app): State<App>,
    info: RequestInfo,
    current: CurrentUser,
    body: Option<Body<Logout>>,
) -> Result<StatusCode> {
    let CurrentUser { user, session, .. } = current;
    let ip = info.ip().to_string();
    if body.is_some_and(|Body(logout)| logout.all) {
        let audit = AuditEntry::new("session.all_ended", Some(user.id), &ip);
        app.store.end_sessions(user.id, None, &audit).await?;
    } else {
        let audit = AuditEntry::new("session.ended", Some(user.id), &ip).about(session.id);
        match app.store.end_session(user.id, session.id, &audit).await {
            // It has ended meanwhile, which is what was asked for.
            Ok(()) | Err(Error::NotFound(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Logout {
    /// Whether to end every session.
    #[serde(default)]
    all: bool,
}
