//! Lists: the query that asks for a page, and the envelope around it.

use std::ops::RangeInclusive;

use axum::extract::FromRequestParts;
use http::request::Parts;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::query::{self, FromParams, Params};
use crate::error::{Error, Result};
use crate::models::page::{DEEPEST, From, MOST_ITEMS, Page, Slice, Total};
use crate::models::text::Invalid;

/// Items of a page if the request does not say.
const DEFAULT_ITEMS: u32 = 20;

/// `limit`, and either `skip` or `cursor`, from the query. 422 for a number out of its range, 400 for a `skip` over
/// 10,000.
#[derive(Clone, Debug)]
pub struct Paging(pub Slice);

impl<S: Sync> FromRequestParts<S> for Paging {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        query::parse(parts.uri.query().unwrap_or_default())
    }
}

impl FromParams for Paging {
    fn from_params(params: &mut Params<'_>) -> Self {
        let limit = limit(params);
        let skip = number(params, "skip", 0..=u32::MAX, "a whole number, 0 or more");
        let cursor = cursor(params);
        if cursor.is_some() && params.has("skip") {
            params.wrong("skip", "ambiguous", "must not be sent beside cursor");
        }
        let skip = skip.unwrap_or_default();
        if skip > DEEPEST {
            params.refuse(Error::SkipTooDeep(DEEPEST));
        }
        Self(Slice {
            from: cursor.map_or(From::Skip(skip), From::Cursor),
            limit,
        })
    }
}

/// `limit` and `cursor` from the query, where nothing can be skipped. 422 for a `limit` out of its range.
#[derive(Clone, Debug)]
pub struct ByCursor(pub Slice);

impl FromParams for ByCursor {
    fn from_params(params: &mut Params<'_>) -> Self {
        Self(Slice {
            limit: limit(params),
            from: cursor(params).map_or(From::Skip(0), From::Cursor),
        })
    }
}

fn limit(params: &mut Params<'_>) -> u32 {
    let rule = "a whole number from 1 to 100";
    number(params, "limit", 1..=MOST_ITEMS, rule).unwrap_or(DEFAULT_ITEMS)
}

fn cursor(params: &mut Params<'_>) -> Option<String> {
    params.read("cursor", |cursor| Ok(cursor.to_owned()))
}

fn number(
    params: &mut Params<'_>,
    name: &str,
    range: RangeInclusive<u32>,
    rule: &str,
) -> Option<u32> {
    params.read(name, |text| match text.parse() {
        Ok(number) if range.contains(&number) => Ok(number),
        _ => Err(Invalid::new("out_of_range", format!("must be {rule}"))),
    })
}

/// What [`Paging`] reads, for the OpenAPI document.
impl IntoParams for Paging {
    fn into_params(
        parameter_in: impl Fn() -> Option<utoipa::openapi::path::ParameterIn>,
    ) -> Vec<utoipa::openapi::path::Parameter> {
        Parameters::into_params(parameter_in)
    }
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it only describes")]
struct Parameters {
    /// Items of the page.
    #[param(minimum = 1, maximum = 100, default = 20)]
    limit: Option<u32>,
    /// How many items to pass over, if there is no cursor, which costs less.
    #[param(minimum = 0, maximum = 10_000)]
    skip: Option<u32>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// What [`ByCursor`] reads, likewise.
impl IntoParams for ByCursor {
    fn into_params(
        parameter_in: impl Fn() -> Option<utoipa::openapi::path::ParameterIn>,
    ) -> Vec<utoipa::openapi::path::Parameter> {
        let mut known = Parameters::into_params(parameter_in);
        known.retain(|parameter| parameter.name != "skip");
        known
    }
}

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct PageOf<T> {
    pub items: Vec<T>,
    /// How many there are in all, as far as they were counted.
    #[schema(example = 1)]
    pub total: u32,
    /// `eq`, or `gte` where counting ended early.
    #[schema(example = "eq")]
    pub total_relation: &'static str,
    /// From 1; null on the way of a cursor, which does not know.
    #[schema(example = 1)]
    pub page: Option<u32>,
    /// The `limit`.
    #[schema(example = 20)]
    pub size: u32,
    #[schema(example = 1)]
    pub pages: u32,
    /// What to send as `cursor` for the next page; null on the last.
    #[schema(example = "eyJpZCI6IjAxOThjOGY1In0")]
    pub next_cursor: Option<String>,
}

impl<T> PageOf<T> {
    pub fn new<M>(slice: &Slice, page: Page<M>, wire: impl FnMut(M) -> T) -> Self {
        let (total, total_relation) = match page.total {
            Total::Exactly(total) => (total, "eq"),
            Total::AtLeast(total) => (total, "gte"),
        };
        Self {
            items: page.items.into_iter().map(wire).collect(),
            total,
            total_relation,
            page: match slice.from {
                From::Skip(skip) => Some(skip / slice.limit + 1),
                From::Cursor(_) => None,
            },
            size: slice.limit,
            pages: total.div_ceil(slice.limit),
            next_cursor: page.next,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &str) -> Result<Paging> {
        query::parse(query)
    }

    #[test]
    fn the_query_of_a_page() {
        let check = |query: &str, expected: Option<(From, u32)>| {
            let slice = parse(query)
                .ok()
                .map(|Paging(slice)| (slice.from, slice.limit));
            assert_eq!(slice, expected, "{query}");
        };
        check("", Some((From::Skip(0), 20)));
        check("limit=100&skip=10000", Some((From::Skip(10_000), 100)));
        check(
            "cursor=a%2Bb&limit=1",
            Some((From::Cursor("a+b".into()), 1)),
        );
        check("limit=0", None);
        check("limit=101", None);
        check("limit=ten", None);
        check("skip=-1", None);
        check("skip=10001", None);
        check("skip=1&cursor=x", None);
        assert!(matches!(parse("skip=10001"), Err(Error::SkipTooDeep(_))));
        let Err(Error::Invalid(wrong)) = parse("limit=&skip=1.5") else {
            panic!("taken")
        };
        let fields: Vec<_> = wrong.iter().map(|wrong| wrong.field.as_str()).collect();
        assert_eq!(fields, ["limit", "skip"]);
    }
}
