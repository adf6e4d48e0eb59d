//! `GET /auth/sessions` and `DELETE /auth/sessions/{id}`

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use jiff::Timestamp;
use serde::Serialize;
use shared::auth::CurrentUser;
use shared::http::{Id, PageOf, Problem, RequestInfo};
use shared::models::audit::AuditEntry;
use shared::models::page::{From, MOST_ITEMS, Page, Slice, Total};
use shared::store::sessions::LiveSession;
use shared::{App, Result};
use utoipa::ToSchema;
use uuid::Uuid;

/// My sessions
///
/// The live ones, the newest first, on one page.
#[utoipa::path(
    get, path = "/sessions", tag = "auth", security(("bearer" = [])),
    responses(
        (status = 200, description = "The caller's sessions", body = PageOf<Session>),
    )
)]
pub(crate) async fn list_sessions(
    State(app): State<App>,
    current: CurrentUser,
) -> Result<Json<PageOf<Session>>> {
    let items = app.store.sessions_of(&current.user).await?;
    let whole = Slice {
        from: From::Skip(0),
        limit: MOST_ITEMS,
    };
    let page = Page {
        total: Total::Exactly(u32::try_from(items.len()).unwrap_or(u32::MAX)),
        items,
        next: None,
    };
    let own = current.session.id;
    Ok(Json(PageOf::new(&whole, page, |live| {
        Session::of(live, own)
    })))
}

/// End a session
///
/// At once: its access tokens are refused by the next request.
#[utoipa::path(
    delete, path = "/sessions/{id}", tag = "auth", security(("bearer" = [])), params(("id" = Uuid, Path)),
    responses(
        (status = 204, description = "Ended"),
        (status = 404, description = "The caller has no session of this id", body = Problem),
    )
)]
pub(crate) async fn end_session(
    State(app): State<App>,
    info: RequestInfo,
    current: CurrentUser,
    Id(id): Id,
) -> Result<StatusCode> {
    let user = current.user.id;
    let audit = AuditEntry::new("session.ended", Some(user), &info.ip().to_string()).about(id);
    app.store.end_session(user, id, &audit).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Where somebody is logged in.
#[derive(Serialize, ToSchema)]
pub(crate) struct Session {
    id: Uuid,
    created_at: Timestamp,
    /// When its tokens were refreshed last.
    last_used_at: Timestamp,
    expires_at: Timestamp,
    #[schema(example = "203.0.113.7")]
    ip: String,
    #[schema(example = "Mozilla/5.0 (X11; Linux x86_64; rv:148.0) Gecko/20100101 Firefox/148.0")]
    user_agent: Option<String>,
    /// Whether it is the one of this request.
    current: bool,
}

impl Session {
    fn of(live: LiveSession, own: Uuid) -> Self {
        let LiveSession {
            session,
            last_used_at,
        } = live;
        Self {
            current: session.id == own,
            id: session.id,
            created_at: session.created_at,
            last_used_at,
            expires_at: session.expires_at,
            ip: session.ip,
            user_agent: session.user_agent,
        }
    }
}
