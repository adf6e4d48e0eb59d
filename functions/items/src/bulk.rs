//! `POST /items/bulk`

use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use shared::auth::CurrentUser;
use shared::http::{Body, Problem, RequestInfo, body};
use shared::models::{self, Scope};
use shared::{App, Error, Result};
use utoipa::ToSchema;

use crate::create::{NewItem, create};
use crate::item::{self, Item};

/// The most items of a request.
const MOST: usize = 100;

/// After this long the rest is refused as something to try again, so that the answer still tells what was made.
const PATIENCE: Duration = Duration::from_secs(8);

/// Create many items
///
/// Up to a hundred, one after the other, each answered for itself: one that is not valid keeps none of the others away.
/// Needs the scope `items:write`.
#[utoipa::path(
    post, path = "/bulk", tag = "items", security(("bearer" = ["items:write"])), request_body = NewItems,
    responses(
        (status = 207, description = "What has become of each, in order", body = CreatedItems),
        (status = 403, description = "`insufficient_scope`; `email_not_verified`", body = Problem),
        (status = 422, description = "`items` is not a list of 1 to 100", body = Problem),
    )
)]
pub(crate) async fn create_items(
    State(app): State<App>,
    info: RequestInfo,
    current: CurrentUser,
    Body(new): Body<NewItems>,
) -> Result<Response> {
    current.require_to_write(&app, Scope::ItemsWrite)?;
    if !(1..=MOST).contains(&new.items.len()) {
        let message = format!("must be 1 to {MOST} items");
        return Err(Error::invalid("items", "out_of_range", message));
    }
    let begun = Instant::now();
    let mut results = Vec::new();
    // Not at the same time: all of them change the same few counters.
    for (index, new) in (0..).zip(new.items) {
        let created = match begun.elapsed() < PATIENCE {
            true => create_one(&app, &info, &current, &new).await,
            false => Err(Error::Unavailable(anyhow::Error::msg(
                "the others took too long",
            ))),
        };
        results.push(match created {
            Ok(item) => CreatedItem {
                index,
                status: StatusCode::CREATED.as_u16(),
                item: Some(Item::whole(&app, item)),
                problem: None,
            },
            Err(error) => refused(index, &error, &info),
        });
    }
    item::forget_lists(&app);
    Ok((StatusCode::MULTI_STATUS, Json(CreatedItems { results })).into_response())
}

async fn create_one(
    app: &App,
    info: &RequestInfo,
    current: &CurrentUser,
    new: &Value,
) -> Result<models::Item> {
    let new: NewItem = body::parse(new.to_string().as_bytes())?;
    create(app, info, current, new).await
}

/// The log must be told here what the client must not see: the request itself succeeds.
fn refused(index: u32, error: &Error, info: &RequestInfo) -> CreatedItem {
    if let Error::Internal(cause) | Error::Unavailable(cause) | Error::Refused(cause) = error {
        tracing::error!(
            request = info.id(),
            code = error.code(),
            index,
            cause = format!("{cause:#}"),
            "an item of many could not be made"
        );
    }
    CreatedItem {
        index,
        status: error.status().as_u16(),
        item: None,
        problem: Some(Problem::new(error, info)),
    }
}

/// Each is read for itself, so that one that is wrong is no mistake of the whole.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"items": [{"title": "Wool blanket", "price": 59.9}, {"title": "Tent", "price": 199}]}))]
pub(crate) struct NewItems {
    #[schema(value_type = Vec<NewItem>, min_items = 1, max_items = 100)]
    items: Vec<Value>,
}

#[derive(Serialize, ToSchema)]
#[schema(example = json!({"results": [{"index": 0, "status": 409, "problem": {
    "type": "about:blank", "title": "Conflict", "status": 409, "code": "stale",
    "detail": "The resource has changed meanwhile; read it again.", "instance": "/api/v1/items/bulk",
    "request_id": "0198c8f5-6b1e-7c3a-9d52-2f0e8a41b7c6",
}}]}))]
pub(crate) struct CreatedItems {
    results: Vec<CreatedItem>,
}

/// Either an item or a problem.
#[derive(Serialize, ToSchema)]
pub(crate) struct CreatedItem {
    /// Which of the items, from 0.
    index: u32,
    #[schema(example = 201)]
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    item: Option<Item>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<Problem>,
}
