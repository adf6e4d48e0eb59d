//! What came back: status, headers, body, and what it cost.

use std::fmt;
use std::sync::Arc;

use axum::body::Body;
use http::{HeaderMap, Response, StatusCode};
use serde_json::Value;
use shared::store::meter::Usage;

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    /// DynamoDB round trips and units of this request.
    pub usage: Arc<Usage>,
}

impl Answer {
    pub(crate) async fn of(response: Response<Body>) -> Self {
        let (parts, body) = response.into_parts();
        let usage = parts.extensions.get::<Arc<Usage>>().cloned();
        Self {
            status: parts.status,
            headers: parts.headers,
            body: axum::body::to_bytes(body, usize::MAX)
                .await
                .unwrap()
                .to_vec(),
            usage: usage.expect("the route is wrapped"),
        }
    }

    /// Asserts the status and goes on.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        self
    }

    /// Asserts a problem document of this status and code, and goes on.
    #[track_caller]
    pub fn expect_problem(self, status: u16, code: &str) -> Self {
        let answer = self.expect(status);
        assert_eq!(
            answer.header("content-type"),
            "application/problem+json",
            "{answer:?}"
        );
        let problem = answer.json();
        assert_eq!(problem["code"], code, "{answer:?}");
        assert_eq!(problem["status"], status, "{answer:?}");
        assert_eq!(
            problem["request_id"],
            answer.header("x-request-id"),
            "{answer:?}"
        );
        for member in ["type", "title", "detail", "instance"] {
            assert!(
                problem[member].is_string(),
                "{member} is missing: {answer:?}"
            );
        }
        answer
    }

    /// Asserts the number of DynamoDB round trips, which is a route's budget, and goes on.
    #[track_caller]
    pub fn expect_round_trips(self, expected: u32) -> Self {
        assert_eq!(
            self.usage.round_trips(),
            expected,
            "{:?} for {self:?}",
            self.usage
        );
        self
    }

    /// Asserts the read and write units, and goes on.
    #[track_caller]
    pub fn expect_units(self, read: f64, write: f64) -> Self {
        let found = (self.usage.read_units(), self.usage.write_units());
        assert_eq!(found, (read, write), "read and write units for {self:?}");
        self
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// A text of the JSON body.
    #[track_caller]
    pub fn text(&self, field: &str) -> String {
        let value = &self.json()[field];
        value
            .as_str()
            .unwrap_or_else(|| panic!("{field} is no text: {self:?}"))
            .to_owned()
    }

    /// The fields that a 422 names, with their codes.
    #[track_caller]
    pub fn wrong_fields(&self) -> Vec<(String, String)> {
        let problem = self.json();
        let errors = problem["errors"]
            .as_array()
            .unwrap_or_else(|| panic!("{self:?}"));
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        errors
            .iter()
            .map(|e| (text(&e["field"]), text(&e["code"])))
            .collect()
    }

    /// A header's text, empty without it.
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().unwrap_or_default())
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body = String::from_utf8_lossy(&self.body);
        write!(f, "{} {:#?}\n{body}", self.status, self.headers)
    }
}
