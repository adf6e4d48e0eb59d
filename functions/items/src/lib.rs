//! The catalogue: items with their prices and stock, the tree of categories, and tags.

mod bulk;
mod create;
mod delete;
mod featured;
mod get;
mod list;
mod mine;
mod popular;
mod search;
mod stock;
mod update;

mod categories;
mod tags;

mod filter;
mod item;
mod showcase;

use shared::App;
use shared::http::PREFIX;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub fn router() -> OpenApiRouter<App> {
    let items = OpenApiRouter::new()
        .routes(routes!(list::list_items, create::create_item))
        .routes(routes!(bulk::create_items))
        .routes(routes!(mine::list_my_items))
        .routes(routes!(search::search_items))
        .routes(routes!(popular::list_popular_items))
        .routes(routes!(featured::list_featured_items))
        .routes(routes!(
            get::get_item,
            update::update_item,
            update::put_item,
            delete::delete_item
        ))
        .routes(routes!(stock::change_item_stock));
    let categories = OpenApiRouter::new()
        .routes(routes!(
            categories::list::list_categories,
            categories::create::create_category
        ))
        .routes(routes!(
            categories::get::get_category,
            categories::update::update_category,
            categories::update::put_category,
            categories::delete::delete_category
        ))
        .routes(routes!(categories::items::list_category_items));
    let tags = OpenApiRouter::new()
        .routes(routes!(tags::list_tags))
        .routes(routes!(tags::list_tag_items));
    OpenApiRouter::new()
        .nest(&format!("{PREFIX}/items"), items)
        .nest(&format!("{PREFIX}/categories"), categories)
        .nest(&format!("{PREFIX}/tags"), tags)
}
