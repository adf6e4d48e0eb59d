//! `GET /metrics`

mod text;

use axum::extract::{FromRequestParts, State};
use axum::response::{IntoResponse, Response};
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::request::Parts;
use shared::auth::CurrentUser;
use shared::models::Scope;
use shared::{App, Error, Result};

/// Metrics
///
/// What all instances have counted since the first one, in the text format of Prometheus: requests by method, route and
/// status, with how long they took; errors; tasks; registrations, logins and orders; DynamoDB's round trips and units.
/// Each instance tells what it has counted every ten seconds and at its end. Needs the token that is configured for it, or
/// the scope `admin:all`.
#[utoipa::path(
    get, path = "/metrics", tag = "system", security(("bearer" = ["admin:all"])),
    responses(
        (status = 200, description = "The metrics", body = String, content_type = "text/plain"),
    )
)]
pub(crate) async fn get_metrics(State(app): State<App>, _: Scraper) -> Result<Response> {
    let rows = app.store.metrics().await?;
    let headers = [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    Ok((headers, text::of(&rows)).into_response())
}

/// Whoever may read the metrics: a program with the token of `METRICS_TOKEN`, or an administrator.
pub(crate) struct Scraper;

impl FromRequestParts<App> for Scraper {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        let sent = parts.headers.get(AUTHORIZATION);
        let sent = sent.and_then(|header| header.to_str().ok()?.split_once(' '));
        if let (Some(expected), Some((_, token))) = (&app.config.metrics_token, sent)
            && expected.is(token.trim())
        {
            return Ok(Self);
        }
        let current = CurrentUser::from_request_parts(parts, app).await?;
        current.require(Scope::AdminAll)?;
        Ok(Self)
    }
}
