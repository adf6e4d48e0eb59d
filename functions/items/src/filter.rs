//! What lists of items can be narrowed and sorted by.

use shared::App;
use shared::auth::Visitor;
use shared::http::{FromParams, Params};
use shared::models::item::ItemStatus;
use shared::models::money::Money;
use shared::models::text::Invalid;
use shared::store::items::{ItemFilter, ItemSort};
use shared::{Error, Result};
use utoipa::IntoParams;
use uuid::Uuid;

use crate::categories;

/// From which price, and up to which.
#[derive(Clone, Copy, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Prices {
    /// Only what costs as much or more: the discounted price counts, without tax.
    #[param(value_type = Option<f64>, minimum = 0, example = 10)]
    pub(crate) min_price: Option<Money>,
    /// Only what costs as much or less.
    #[param(value_type = Option<f64>, minimum = 0, example = 99.99)]
    pub(crate) max_price: Option<Money>,
}

impl FromParams for Prices {
    fn from_params(params: &mut Params<'_>) -> Self {
        let min_price = params.read("min_price", amount);
        let max_price = params.read("max_price", amount);
        if let (Some(min), Some(max)) = (min_price, max_price)
            && min.minor() > max.minor()
        {
            params.wrong("max_price", "out_of_range", "must not be below min_price");
        }
        Self {
            min_price,
            max_price,
        }
    }
}

fn amount(text: &str) -> Result<Money, Invalid> {
    let not_a_number = |_| Invalid::new("invalid_type", "must be a number");
    let money = Money::parse_major(text.parse::<f64>().map_err(not_a_number)?)?;
    match money.minor() < 0 {
        true => Err(Invalid::new("out_of_range", "must be 0 or above")),
        false => Ok(money),
    }
}

/// In which order.
#[derive(Clone, Copy, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Sort {
    /// `-created_at` (the newest first), `created_at`, `price` (the cheapest first) or `-price`.
    #[param(value_type = Option<String>, pattern = "^-?(created_at|price)$", default = "-created_at")]
    pub(crate) sort: ItemSort,
}

impl FromParams for Sort {
    fn from_params(params: &mut Params<'_>) -> Self {
        let words = [
            ("-created_at", ItemSort::Newest),
            ("created_at", ItemSort::Oldest),
            ("price", ItemSort::Cheapest),
            ("-price", ItemSort::Dearest),
        ];
        Self {
            sort: params.word("sort", &words).unwrap_or_default(),
        }
    }
}

/// Active items between these prices, in this order.
pub(crate) fn active(prices: Prices, sort: Sort) -> ItemFilter {
    ItemFilter {
        statuses: vec![ItemStatus::Active],
        min: prices.min_price,
        max: prices.max_price,
        sort: sort.sort,
        ..ItemFilter::default()
    }
}

pub(crate) fn status(params: &mut Params<'_>) -> Option<ItemStatus> {
    let words = ItemStatus::ALL.map(|status| (status.as_str(), status));
    params.word("status", &words)
}

/// A category that a query names by slug or id, with all below it.
pub(crate) async fn category(
    app: &App,
    visitor: &Visitor,
    name: Option<&str>,
) -> Result<Option<Vec<Uuid>>> {
    let Some(name) = name else {
        return Ok(None);
    };
    let unknown = || {
        let message = "must be the id or slug of a category";
        Error::invalid("category", "unknown_category", message)
    };
    let found = categories::find(app, visitor, name).await?;
    let (categories, category) = found.ok_or_else(unknown)?;
    let (tree, _) = &*categories;
    Ok(Some(tree.descendants(category.id)))
}
