//! What belongs together: a request, the tasks that it causes, and their mails have one trace id.
//!
//! It comes with the request, in `traceparent` (W3C Trace Context, <https://www.w3.org/TR/trace-context/>) or in
//! `X-Amzn-Trace-Id` (X-Ray), or is made. It is written with each task, so that it outlives the process.

use std::future::Future;

use http::HeaderMap;
use serde::{Deserialize, Serialize};

tokio::task_local! {
    static CURRENT: Trace;
}

/// Whence a piece of work comes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// 32 hexadecimal digits, which X-Ray writes as `1-xxxxxxxx-xxxxxxxxxxxxxxxxxxxxxxxx`.
    pub id: String,
    /// The request that began it. A sweep or a command has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// What X-Ray is told of it, so that it draws a request and what it sends to the queue as one.
    #[serde(skip)]
    pub xray: Option<String>,
}

impl Trace {
    /// That of a request: the client's own before the gateway's, or a new one.
    pub(crate) fn of_request(headers: &HeaderMap, request: &str) -> Self {
        let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let xray = header("x-amzn-trace-id").filter(|header| is_plain(header));
        let id = header("traceparent").and_then(w3c_id);
        Self {
            id: id.or_else(|| xray_id(xray?)).unwrap_or_else(new_id),
            request: Some(request.to_owned()),
            xray: xray.map(str::to_owned),
        }
    }

    /// That of what runs just now, if something says whence it comes.
    pub fn current() -> Option<Self> {
        CURRENT.try_with(Clone::clone).ok()
    }

    /// Runs `work` as a part of this trace.
    pub async fn scope<F: Future>(self, work: F) -> F::Output {
        // Boxed, because the work of a request or a task is as deep as anything here.
        CURRENT.scope(self, Box::pin(work)).await
    }

    /// The trace as a `traceparent`, for what goes on elsewhere. The parent is new: we keep no spans of our own.
    pub fn parent(&self) -> String {
        format!("00-{}-{:016x}-01", self.id, fastrand::u64(1..))
    }
}

impl Default for Trace {
    /// A new one, of what nobody has asked for.
    fn default() -> Self {
        Self {
            id: new_id(),
            request: None,
            xray: None,
        }
    }
}

fn new_id() -> String {
    format!("{:032x}", fastrand::u128(1..))
}

/// The trace id of a `traceparent`; a version that is not known yet has it in the same place.
fn w3c_id(header: &str) -> Option<String> {
    let mut parts = header.trim().split('-');
    let (version, id, parent) = (parts.next()?, parts.next()?, parts.next()?);
    let is_hex = |text: &str, digits: usize| {
        text.len() == digits
            && text
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    let is_none = |text: &str| text.bytes().all(|b| b == b'0');
    let is_known = is_hex(version, 2) && version != "ff";
    let is_good =
        is_known && is_hex(id, 32) && is_hex(parent, 16) && !is_none(id) && !is_none(parent);
    is_good.then(|| id.to_owned())
}

/// The 32 digits of `Root=1-5759e988-bd862e3fe1be46a994272793;Parent=…;Sampled=1`.
fn xray_id(header: &str) -> Option<String> {
    let mut parts = header.split(';').map(str::trim);
    let root = parts.find_map(|part| part.strip_prefix("Root=1-"))?;
    let (time, rest) = root.split_once('-')?;
    let id = format!("{time}{rest}").to_ascii_lowercase();
    let is_hex = id.bytes().all(|b| b.is_ascii_hexdigit());
    (time.len() == 8 && id.len() == 32 && is_hex).then_some(id)
}

/// Whether a header may be handed on: short, and nothing that X-Ray would not write.
fn is_plain(header: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"=-;: ".contains(&b);
    header.len() <= 250 && header.bytes().all(allowed) && xray_id(header).is_some()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const W3C: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const XRAY: &str = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";

    fn trace(headers: &[(&'static str, &'static str)]) -> Trace {
        let headers = headers.iter().map(|(name, value)| {
            let name = http::HeaderName::from_static(name);
            (name, HeaderValue::from_static(value))
        });
        Trace::of_request(&headers.collect(), "request-1")
    }

    #[test]
    fn a_trace_comes_with_its_request() {
        let found = trace(&[("traceparent", W3C), ("x-amzn-trace-id", XRAY)]);
        assert_eq!(found.id, "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(found.xray.as_deref(), Some(XRAY));
        let found = trace(&[("x-amzn-trace-id", XRAY)]);
        assert_eq!(found.id, "5759e988bd862e3fe1be46a994272793");
        assert_eq!(found.request.as_deref(), Some("request-1"));
    }

    #[test]
    fn without_a_good_header_it_is_new() {
        for bad in [
            "",
            "nonsense",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(w3c_id(bad), None, "{bad}");
        }
        for bad in [
            "",
            "Root=1-5759e988",
            "Root=1-x759e988-bd862e3fe1be46a994272793",
        ] {
            assert_eq!(xray_id(bad), None, "{bad}");
        }
        let (one, other) = (trace(&[("traceparent", "nonsense")]), trace(&[]));
        assert_ne!(one.id, other.id);
        assert_eq!(one.id.len(), 32);
        assert_eq!(w3c_id(&one.parent()), Some(one.id));
        let forged = trace(&[(
            "x-amzn-trace-id",
            "Root=1-5759e988-bd862e3fe1be46a994272793;\"x\"",
        )]);
        assert_eq!(forged.xray, None);
    }
}
