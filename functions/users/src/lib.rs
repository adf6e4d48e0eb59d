//! People: their own profiles, and the administration of all.

mod activity;
mod me;
mod preferences;
mod profile;

mod activate;
mod audit;
mod create;
mod delete;
mod get;
mod list;
mod search;
mod update;

mod v2;

mod change;
mod entry;

use shared::App;
use shared::http::{PREFIX, PREFIX_V2, deprecated};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub fn router() -> OpenApiRouter<App> {
    let v1 = OpenApiRouter::new()
        .routes(routes!(
            me::get_me,
            me::update_me,
            me::put_me,
            me::delete_me
        ))
        .routes(routes!(profile::get_my_overview))
        .routes(routes!(
            preferences::get_my_preferences,
            preferences::put_my_preferences
        ))
        .routes(routes!(activity::list_my_activity))
        .routes(deprecated(list::DEPRECATED, routes!(list::list_users)))
        .routes(routes!(create::create_user))
        .routes(routes!(search::search_users))
        .routes(routes!(
            get::get_user,
            update::update_user,
            update::put_user,
            delete::delete_user
        ))
        .routes(routes!(activate::activate_user))
        .routes(routes!(activate::deactivate_user))
        .routes(routes!(audit::list_user_audit));
    let v2 = OpenApiRouter::new().routes(routes!(v2::list::list_users_v2));
    OpenApiRouter::new()
        .nest(&format!("{PREFIX}/users"), v1)
        .nest(&format!("{PREFIX_V2}/users"), v2)
}
