//! The wrapper around every function's routes: request ids, problem documents, panics, headers, CORS,
//! compression, and one log line a request.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderName,
    IF_MATCH, IF_NONE_MATCH, LINK, LOCATION, REFERRER_POLICY, RETRY_AFTER,
    STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Method};
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{DefaultPredicate, Predicate, SizeAbove};
use tower_http::cors::{AllowOrigin, CorsLayer};
use utoipa_axum::router::OpenApiRouter;

use super::deprecated::{DEPRECATION, SUNSET};
use super::idempotency::{IDEMPOTENCY_KEY, IDEMPOTENT_REPLAY};
use super::{RequestInfo, problem};
use crate::App;
use crate::config::{Config, Origins};
use crate::error::Error;
use crate::metrics::Metrics;
use crate::store::meter::{self, Usage};

/// Where the API's routes begin; a few public ones have no prefix.
pub const PREFIX: &str = "/api/v1";
/// Where those begin that take the place of one there. The others have no second version.
pub const PREFIX_V2: &str = "/api/v2";

/// Longest that a handler may take: less than the functions' time-out in `template.yaml`, so that the answer is ours.
const PATIENCE: Duration = Duration::from_secs(12);

/// A function's routes, ready to be served.
pub fn wrap(app: App, routes: OpenApiRouter<App>) -> Router {
    let (router, _documentation) = routes.split_for_parts();
    let worth_compressing = DefaultPredicate::new().and(SizeAbove::new(1_000));
    router
        .fallback(async || Error::NotFound("route"))
        .method_not_allowed_fallback(async || Error::MethodNotAllowed)
        .layer(middleware::from_fn(survive))
        .layer(CompressionLayer::new().compress_when(worth_compressing))
        .layer(cors(&app.config))
        .layer(middleware::from_fn_with_state(app.metrics.clone(), answer))
        .with_state(app)
}

async fn answer(State(metrics): State<Metrics>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let info = RequestInfo::of(&request);
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    request.extensions_mut().insert(info.clone());

    let usage = Arc::new(Usage::default());
    let work = tokio::time::timeout(PATIENCE, next.run(request));
    let work = meter::metered(usage.clone(), work);
    let response = info.trace().clone().scope(work).await;
    let response = response.unwrap_or_else(|_| {
        Error::Unavailable(anyhow::Error::msg("the handler took too long")).into_response()
    });

    let mut response = finish(response, &info);
    let spent = started.elapsed();
    decorate(response.headers_mut(), &info, spent);
    let route = route.as_ref().map_or("-", MatchedPath::as_str);
    let code = response.extensions().get::<Code>().map(|code| code.0);
    metrics.answered(&method, route, response.status(), code, spent);
    metrics.used(&usage);
    log(&method, route, &response, code, &info, &usage, spent);
    response.extensions_mut().insert(usage);
    response
}

/// Below CORS, so that a browser may read the answer. The panic itself was logged by the panic hook.
async fn survive(request: Request, next: Next) -> Response {
    let work = AssertUnwindSafe(next.run(request)).catch_unwind();
    let panicked = || Error::Internal(anyhow::Error::msg("a handler panicked"));
    work.await.unwrap_or_else(|_| panicked().into_response())
}

/// Gives an error its body, and tells the log what the client must not see.
fn finish(mut response: Response, info: &RequestInfo) -> Response {
    let extensions = response.extensions_mut();
    let own = extensions.remove::<OwnBody>();
    let error = extensions.remove::<Arc<Error>>();
    if let Some(OwnBody(code)) = own {
        extensions.insert(Code(code));
    }
    let error = match error {
        Some(error) => error,
        // An extractor of axum's own has refused, as for a path that is no UUID. Its text is not ours to show.
        None if own.is_none() && response.status().is_client_error() && !is_problem(&response) => {
            Arc::new(Error::BadRequest(
                "The request cannot be understood.".to_owned(),
            ))
        }
        None => return response,
    };
    if let Error::Internal(cause) | Error::Unavailable(cause) | Error::Refused(cause) = &*error {
        tracing::error!(
            request = info.id(),
            code = error.code(),
            cause = format!("{cause:#}"),
            "request failed"
        );
    }
    if own.is_some() {
        if let Error::RateLimited(limit) = &*error {
            info.note_limit(*limit);
        }
        return response;
    }
    let headers = std::mem::take(response.headers_mut());
    let mut response = problem::respond(&error, info, headers);
    response.extensions_mut().insert(Code(error.code()));
    response
}

/// Marks an error whose body its handler wrote itself, with its word for the log line (RFC 6749, section 5.2).
#[derive(Clone, Copy, Debug)]
pub struct OwnBody(pub &'static str);

/// The word of a problem, for the log line: why somebody was not let in, say.
#[derive(Clone, Copy)]
struct Code(&'static str);

fn is_problem(response: &Response) -> bool {
    let kind = response.headers().get(CONTENT_TYPE);
    kind.is_some_and(|kind| kind == "application/problem+json")
}

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const X_PROCESS_TIME: HeaderName = HeaderName::from_static("x-process-time");
const X_RATELIMIT_LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const X_RATELIMIT_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const X_RATELIMIT_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// The headers of every response. What the handler has set itself stays.
fn decorate(headers: &mut HeaderMap, info: &RequestInfo, spent: Duration) {
    if let Ok(id) = HeaderValue::from_str(info.id()) {
        headers.insert(X_REQUEST_ID, id);
    }
    if let Ok(seconds) = HeaderValue::from_str(&format!("{:.6}", spent.as_secs_f64())) {
        headers.insert(X_PROCESS_TIME, seconds);
    }
    if let Some(limit) = info.limit() {
        headers.insert(X_RATELIMIT_LIMIT, limit.limit.into());
        headers.insert(X_RATELIMIT_REMAINING, limit.remaining.into());
        headers.insert(X_RATELIMIT_RESET, limit.retry_after.into());
    }
    let caching = match headers.contains_key(ETAG) {
        true => "private, no-cache",
        false => "no-store",
    };
    let defaults = [
        (CACHE_CONTROL, caching),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (
            CONTENT_SECURITY_POLICY,
            "default-src 'none'; frame-ancestors 'none'",
        ),
        (
            STRICT_TRANSPORT_SECURITY,
            "max-age=63072000; includeSubDomains",
        ),
    ];
    for (name, value) in defaults {
        headers
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
}

/// One line a request: 290 bytes at most for an IPv4 address if it succeeds, 30 more for IPv6. Nothing of the body or of
/// a header that may hold a secret is in it.
fn log(
    method: &Method,
    route: &str,
    response: &Response,
    code: Option<&'static str>,
    info: &RequestInfo,
    usage: &Usage,
    spent: Duration,
) {
    let status = response.status().as_u16();
    tracing::info!(
        method = method.as_str(),
        route,
        status,
        code,
        duration_ms = (spent.as_secs_f64() * 100_000.0).round() / 100.0,
        ip = %info.ip(),
        user = info.user().map(tracing::field::display),
        request = info.id(),
        trace = info.trace().id,
        db_trips = usage.round_trips(),
        rcu = usage.read_units(),
        wcu = usage.write_units(),
    );
}

fn cors(config: &Config) -> CorsLayer {
    let origins = match &config.cors_origins {
        Origins::Any => AllowOrigin::any(),
        Origins::These(origins) => AllowOrigin::list(origins.iter().cloned()),
    };
    CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([
            Method::GET,
            Method::POST,
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
        ])
        .allow_headers([
            AUTHORIZATION,
            CONTENT_TYPE,
            IF_MATCH,
            IF_NONE_MATCH,
            IDEMPOTENCY_KEY,
            X_REQUEST_ID,
        ])
        .expose_headers([
            ETAG,
            LOCATION,
            LINK,
            DEPRECATION,
            SUNSET,
            RETRY_AFTER,
            IDEMPOTENT_REPLAY,
            X_REQUEST_ID,
            X_RATELIMIT_LIMIT,
            X_RATELIMIT_REMAINING,
            X_RATELIMIT_RESET,
        ])
        .max_age(Duration::from_secs(600))
}
