//! What is known of a request before its handler runs, and what the handler adds for log line and headers.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use axum::extract::FromRequestParts;
use http::request::Parts;
use http::{HeaderMap, Request};
use lambda_http::request::RequestContext;
use uuid::Uuid;

use crate::config::Config;
use crate::error::{Context, Error, RateLimit, Result};
use crate::trace::Trace;

#[derive(Clone, Debug)]
pub struct RequestInfo(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    id: String,
    ip: IpAddr,
    user_agent: Option<String>,
    trace: Trace,
    path: String,
    domain: Option<String>,
    user: OnceLock<Uuid>,
    limit: Mutex<Option<RateLimit>>,
}

impl RequestInfo {
    pub(super) fn of<B>(request: &Request<B>) -> Self {
        let gateway = match request.extensions().get::<RequestContext>() {
            Some(RequestContext::ApiGatewayV2(context)) => Some(context),
            _ => None,
        };
        // Only the gateway knows who connected: a forwarded-for header is the client's own word.
        let ip = gateway.and_then(|context| context.http.source_ip.as_deref()?.parse().ok());
        let headers = request.headers();
        let id = header(headers, "x-request-id").filter(|id| is_request_id(id));
        let id = id.or_else(|| gateway?.request_id.as_deref());
        let id = id.map_or_else(|| Uuid::now_v7().to_string(), str::to_owned);
        Self(Arc::new(Inner {
            trace: Trace::of_request(headers, &id),
            id,
            ip: ip.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
            user_agent: header(headers, "user-agent").map(|ua| ua.chars().take(256).collect()),
            path: request.uri().path().to_owned(),
            domain: gateway.and_then(|context| context.domain_name.clone()),
            user: OnceLock::new(),
            limit: Mutex::default(),
        }))
    }

    /// The client's `x-request-id` if it is one (8 to 36 of `A-Z a-z 0-9 _ -`), else the gateway's.
    pub fn id(&self) -> &str {
        &self.0.id
    }

    pub fn ip(&self) -> IpAddr {
        self.0.ip
    }

    /// The address to count requests by: IPv6 by its /64, since whoever has one address there has all of them.
    pub fn limit_subject(&self) -> String {
        match self.0.ip {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => match ip.to_ipv4_mapped() {
                Some(ip) => ip.to_string(),
                None => {
                    let [a, b, c, d, ..] = ip.segments();
                    format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
                }
            },
        }
    }

    /// At most 256 characters of it.
    pub fn user_agent(&self) -> Option<String> {
        self.0.user_agent.clone()
    }

    pub fn path(&self) -> &str {
        &self.0.path
    }

    /// Where clients reach the API, without a slash at the end.
    pub fn public_url(&self, config: &Config) -> String {
        match (&config.public_url, &self.0.domain) {
            (Some(url), _) => url.clone(),
            (None, Some(domain)) => format!("https://{domain}"),
            (None, None) => String::new(),
        }
    }

    pub fn trace(&self) -> &Trace {
        &self.0.trace
    }

    /// Names the user in the log line, where the caller is known by something else than a token.
    pub fn note_user(&self, user: Uuid) {
        let _ = self.0.user.set(user);
    }

    pub(super) fn user(&self) -> Option<Uuid> {
        self.0.user.get().copied()
    }

    /// Shows a limit in the response's `x-ratelimit-*` headers; the last one noted counts.
    pub fn note_limit(&self, limit: RateLimit) {
        *self.limit_slot() = Some(limit);
    }

    pub(super) fn limit(&self) -> Option<RateLimit> {
        *self.limit_slot()
    }

    fn limit_slot(&self) -> MutexGuard<'_, Option<RateLimit>> {
        self.0.limit.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Sync> FromRequestParts<S> for RequestInfo {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        let info = parts.extensions.get::<Self>().cloned();
        info.context("the route is not wrapped by http::wrap")
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn is_request_id(id: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    (8..=36).contains(&id.len()) && id.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_id_is_short_and_plain() {
        assert!(is_request_id("0190a1b2-aaaa"));
        assert!(!is_request_id("short"));
        assert!(!is_request_id("with spaces in it"));
        assert!(!is_request_id(&"x".repeat(37)));
    }
}
