//! Orders: placed, paid, shipped, cancelled or refunded, and what the payment provider tells of them.

mod cancel;
mod get;
mod list;
mod pay;
mod payment;
mod place;
mod refund;
mod ship;

mod webhook;

mod order;

use shared::App;
use shared::http::PREFIX;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub fn router() -> OpenApiRouter<App> {
    let orders = OpenApiRouter::new()
        .routes(routes!(list::list_orders, place::place_order))
        .routes(routes!(get::get_order))
        .routes(routes!(payment::open_payment))
        .routes(routes!(pay::pay_order))
        .routes(routes!(cancel::cancel_order))
        .routes(routes!(ship::ship_order))
        .routes(routes!(refund::refund_order));
    let payments = OpenApiRouter::new().routes(routes!(webhook::receive_payment_event));
    OpenApiRouter::new()
        .nest(&format!("{PREFIX}/orders"), orders)
        .nest(&format!("{PREFIX}/payments"), payments)
}
