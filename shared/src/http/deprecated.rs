//! Routes that have a successor: what their answers and the OpenAPI document say of it.

use axum::middleware;
use axum::response::Response;
use http::header::{HeaderName, LINK};
use http::{HeaderMap, HeaderValue};
use jiff::civil::Date;
use jiff::fmt::rfc2822::DateTimePrinter;
use jiff::tz::TimeZone;
use utoipa::openapi::Deprecated as Mark;
use utoipa_axum::router::{UtoipaMethodRouter, UtoipaMethodRouterExt};

pub(super) const DEPRECATION: HeaderName = HeaderName::from_static("deprecation");
pub(super) const SUNSET: HeaderName = HeaderName::from_static("sunset");

/// What becomes of a route. Both days begin at midnight UTC.
#[derive(Clone, Copy, Debug)]
pub struct Deprecated {
    /// From when on clients should use the successor.
    pub since: Date,
    /// From when on the route may be gone.
    pub sunset: Date,
    /// The path of the successor.
    pub successor: &'static str,
}

/// The same routes, which tell in each answer that they have a successor: `Deprecation` (RFC 9745), `Sunset` (RFC 8594)
/// and `Link` (RFC 5829). Errors of the handler and of its extractors tell it too. A panic or a time-out does not.
pub fn deprecated<S>(known: Deprecated, routes: UtoipaMethodRouter<S>) -> UtoipaMethodRouter<S>
where
    S: Clone + Send + Sync + 'static,
{
    let headers = known.headers();
    let tell = move |mut response: Response| {
        let told = headers.clone();
        async move {
            response.headers_mut().extend(told);
            response
        }
    };
    let mut routes = routes.map(|methods| methods.route_layer(middleware::map_response(tell)));
    for item in routes.1.paths.values_mut() {
        let operations = [
            &mut item.get,
            &mut item.post,
            &mut item.put,
            &mut item.patch,
            &mut item.delete,
        ];
        for operation in operations.into_iter().flatten() {
            operation.deprecated = Some(Mark::True);
        }
    }
    routes
}

impl Deprecated {
    fn headers(&self) -> HeaderMap {
        let midnight = |day: Date| TimeZone::UTC.to_timestamp(day.at(0, 0, 0, 0)).ok();
        let since = midnight(self.since).map(|time| format!("@{}", time.as_second()));
        let sunset = midnight(self.sunset).and_then(|time| {
            DateTimePrinter::new()
                .timestamp_to_rfc9110_string(&time)
                .ok()
        });
        let link = format!("<{}>; rel=\"successor-version\"", self.successor);
        let texts = [(DEPRECATION, since), (SUNSET, sunset), (LINK, Some(link))];
        let readable =
            |(name, text): (_, Option<String>)| Some((name, HeaderValue::from_str(&text?).ok()?));
        texts.into_iter().filter_map(readable).collect()
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn the_days_of_a_route() {
        let known = Deprecated {
            since: date(2023, 6, 30),
            sunset: date(2024, 2, 29),
            successor: "/api/v2/things",
        };
        let headers = known.headers();
        let told: Vec<_> = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
            .collect();
        // The first is the example of RFC 9745, section 2.1, at the beginning of its day.
        let expected = [
            ("deprecation", "@1688083200"),
            ("sunset", "Thu, 29 Feb 2024 00:00:00 GMT"),
            ("link", "</api/v2/things>; rel=\"successor-version\""),
        ];
        assert_eq!(told, expected);
    }
}
