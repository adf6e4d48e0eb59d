//! Files: avatars, images of items, private uploads, and images made smaller on request. Beside the worker, only this
//! function speaks to the bucket.

mod avatar;
mod begin;
mod complete;
mod delete;
mod get;
mod images;
mod info;
mod list;
mod process;

mod file;
mod form;
mod item;

use shared::App;
use shared::http::PREFIX;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub fn router() -> OpenApiRouter<App> {
    let files = OpenApiRouter::new()
        .routes(routes!(list::list_files))
        .routes(routes!(avatar::set_avatar))
        .routes(routes!(begin::begin_upload))
        .routes(routes!(complete::complete_upload))
        .routes(routes!(process::process_image))
        .routes(routes!(get::get_file, delete::delete_file))
        .routes(routes!(info::get_file_info));
    let items = OpenApiRouter::new().routes(routes!(images::add_item_images));
    OpenApiRouter::new()
        .nest(&format!("{PREFIX}/files"), files)
        .nest(&format!("{PREFIX}/items"), items)
}
