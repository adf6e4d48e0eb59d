//! Background tasks as their owners and the administrators see them. The work itself is done by `worker`.

mod cancel;
mod failed;
mod get;
mod list;
mod retry;
mod task;

use shared::App;
use shared::http::PREFIX;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub fn router() -> OpenApiRouter<App> {
    let api = OpenApiRouter::new()
        .routes(routes!(list::list_tasks))
        .routes(routes!(failed::list_failed_tasks))
        .routes(routes!(get::get_task))
        .routes(routes!(retry::retry_task))
        .routes(routes!(cancel::cancel_task));
    OpenApiRouter::new().nest(&format!("{PREFIX}/tasks"), api)
}
