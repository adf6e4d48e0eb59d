//! `GET` and `POST /auth/clients`, `DELETE /auth/clients/{id}` and `POST /auth/clients/{id}/rotate`

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::CACHE_CONTROL;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use shared::auth::CurrentUser;
use shared::http::{Body, Id, Problem, RequestInfo};
use shared::models::Scope;
use shared::models::audit::AuditEntry;
use shared::models::client::{ScopeName, ServiceClient};
use shared::models::text::{Invalid, Name};
use shared::store::clients::ClientSecret;
use shared::{App, Error, Result};
use utoipa::ToSchema;
use uuid::Uuid;

/// Make a service client
///
/// A program that gets tokens in its own name, with at most these scopes. Its secret is shown here, and never again.
/// There may be a hundred. Needs the scope `admin:all`.
#[utoipa::path(
    post, path = "/clients", tag = "auth", security(("bearer" = ["admin:all"])), request_body = NewServiceClient,
    responses(
        (status = 201, description = "The client with its secret", body = ServiceClientSecret),
        (status = 409, description = "`limit_reached`: there are a hundred", body = Problem),
    )
)]
pub(crate) async fn create_client(
    State(app): State<App>,
    info: RequestInfo,
    current: CurrentUser,
    Body(NewServiceClient { name, scopes }): Body<NewServiceClient>,
) -> Result<Response> {
    current.require(Scope::AdminAll)?;
    let admin = current.user.id;
    let refused = |e: Invalid| Error::invalid("scopes", e.code, e.message);
    let client = ServiceClient::new(name, &scopes, admin, app.clock.now()).map_err(refused)?;
    let audit = AuditEntry::new("client.created", Some(admin), &info.ip().to_string());
    let audit = audit.about(client.id).with_changes(&(), &client);
    let secret = app.store.create_client(&client, &audit).await?;
    let shown = ServiceClientSecret::of(client, &secret);
    Ok((StatusCode::CREATED, shown).into_response())
}

/// Service clients
///
/// All of them, the oldest first, without their secrets. Needs the scope `admin:all`.
#[utoipa::path(
    get, path = "/clients", tag = "auth", security(("bearer" = ["admin:all"])),
    responses(
        (status = 200, description = "The clients", body = ServiceClients),
    )
)]
pub(crate) async fn list_clients(
    State(app): State<App>,
    current: CurrentUser,
) -> Result<Json<ServiceClients>> {
    current.require(Scope::AdminAll)?;
    let clients = app.store.service_clients().await?.into_iter();
    let items = clients.map(ListedClient::of).collect();
    Ok(Json(ServiceClients { items }))
}

/// Delete a service client
///
/// It gets no more tokens. Those that it has end within a quarter of an hour, and are not active for introspection from
/// now on. Needs the scope `admin:all`.
#[utoipa::path(
    delete, path = "/clients/{id}", tag = "auth", security(("bearer" = ["admin:all"])), params(("id" = Uuid, Path)),
    responses(
        (status = 204, description = "Deleted"),
        (status = 404, description = "No client has this id", body = Problem),
    )
)]
pub(crate) async fn delete_client(
    State(app): State<App>,
    info: RequestInfo,
    current: CurrentUser,
    Id(id): Id,
) -> Result<StatusCode> {
    current.require(Scope::AdminAll)?;
    let admin = current.user.id;
    let audit = AuditEntry::new("client.deleted", Some(admin), &info.ip().to_string()).about(id);
    app.store.delete_client(id, admin, &audit).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Rotate a client's secret
///
/// Gives it a new one. The secret before goes on beside it until the next rotation, so that there is time to hand out
/// the new one; any older one is void at once. Needs the scope `admin:all`.
#[utoipa::path(
    post, path = "/clients/{id}/rotate", tag = "auth", security(("bearer" = ["admin:all"])), params(("id" = Uuid, Path)),
    responses(
        (status = 200, description = "The client with its new secret", body = ServiceClientSecret),
        (status = 404, description = "No client has this id", body = Problem),
        (status = 409, description = "`stale`: somebody else rotates it just now", body = Problem),
    )
)]
pub(crate) async fn rotate_client(
    State(app): State<App>,
    info: RequestInfo,
    current: CurrentUser,
    Id(id): Id,
) -> Result<ServiceClientSecret> {
    current.require(Scope::AdminAll)?;
    let admin = current.user.id;
    let audit = AuditEntry::new("client.rotated", Some(admin), &info.ip().to_string()).about(id);
    let (client, secret) = app.store.rotate_client(id, admin, &audit).await?;
    Ok(ServiceClientSecret::of(client, &secret))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewServiceClient {
    #[schema(example = "billing")]
    name: Name,
    /// The most that its tokens may allow.
    #[schema(min_items = 1)]
    scopes: Vec<ScopeName>,
}

/// A service client with a secret that was just made.
#[derive(Serialize, ToSchema)]
pub(crate) struct ServiceClientSecret {
    client_id: Uuid,
    /// To be kept now: it is not shown again.
    #[schema(example = "sheaf_q8ZrT2mWxK0vYb7LhN4cJd9SgPfAeU3iq8ZrT2mWxK0")]
    client_secret: String,
    name: Name,
    #[schema(example = json!(["orders:read"]))]
    scopes: Vec<String>,
    created_at: Timestamp,
}

impl ServiceClientSecret {
    fn of(client: ServiceClient, secret: &ClientSecret) -> Self {
        Self {
            client_id: client.id,
            client_secret: secret.reveal().to_owned(),
            name: client.name,
            scopes: client.scopes,
            created_at: client.created_at,
        }
    }
}

impl IntoResponse for ServiceClientSecret {
    fn into_response(self) -> Response {
        ([(CACHE_CONTROL, "no-store")], Json(self)).into_response()
    }
}

#[derive(Serialize, ToSchema)]
pub(crate) struct ServiceClients {
    items: Vec<ListedClient>,
}

/// A service client, without its secrets.
#[derive(Serialize, ToSchema)]
struct ListedClient {
    client_id: Uuid,
    name: Name,
    #[schema(example = json!(["orders:read"]))]
    scopes: Vec<String>,
    is_active: bool,
    created_at: Timestamp,
    /// The administrator who made it.
    created_by: Uuid,
}

impl ListedClient {
    fn of(client: ServiceClient) -> Self {
        Self {
            client_id: client.id,
            name: client.name,
            scopes: client.scopes,
            is_active: client.is_active,
            created_at: client.created_at,
            created_by: client.created_by,
        }
    }
}
