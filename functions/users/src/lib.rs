//! People: their own profiles.

mod me;

use shared::App;
use shared::http::PREFIX;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub fn router() -> OpenApiRouter<App> {
    let api = OpenApiRouter::new().routes(routes!(me::get_me, me::update_me, me::put_me));
    OpenApiRouter::new().nest(&format!("{PREFIX}/users"), api)
}
