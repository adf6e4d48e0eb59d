//! The HTTP API: finds the function of a path by the routes of `template.yaml`, as API Gateway does.

use std::collections::BTreeMap;

use axum::Router;
use local::template::{Function, Template};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::{Answer, permissions};

/// A router per function, by its name.
#[derive(Clone)]
pub struct Gateway(BTreeMap<String, Router>);

impl Gateway {
    pub fn new(routers: BTreeMap<String, Router>) -> Self {
        Self(routers)
    }

    /// Hands an API Gateway event (payload format 2.0) to the function that the template names for it.
    pub async fn send(&self, template: &Template, event: &Value) -> Answer {
        let path = event["rawPath"].as_str().unwrap();
        let method = event["requestContext"]["http"]["method"].as_str().unwrap();
        let function = function_of(template, method, path).expect("$default takes everything");
        self.send_to(&function.name, event).await
    }

    pub async fn send_to(&self, function: &str, event: &Value) -> Answer {
        permissions::as_function(function, answer(self.0[function].clone(), event)).await
    }
}

/// What a router answers to an event, which goes through the decoder that deployed functions use.
pub(crate) async fn answer(router: Router, event: &Value) -> Answer {
    let request = lambda_http::request::from_str(&event.to_string()).unwrap();
    let Ok(response) = router.oneshot(request).await;
    Answer::of(response).await
}

/// The function whose route matches best: a full match before a greedy one, a longer before a shorter, and
/// `$default` last.
pub fn function_of<'a>(template: &'a Template, method: &str, path: &str) -> Option<&'a Function> {
    let functions = template.functions.iter();
    let routes = functions.flat_map(|f| f.routes.iter().map(move |route| (f, route)));
    let matching = routes.filter(|(_, route)| route.method == "ANY" || route.method == method);
    let ranked = matching.filter_map(|(f, route)| Some((rank(&route.path, path)?, f)));
    ranked.max_by_key(|(rank, _)| *rank).map(|(_, f)| f)
}

/// How well a route's path matches, if it does.
fn rank(route: &str, path: &str) -> Option<(u8, usize)> {
    if route == "$default" {
        return Some((0, 0));
    }
    match route.split_once("{proxy+}") {
        Some((start, _)) => {
            let rest = path.strip_prefix(start)?;
            (!rest.is_empty()).then_some((1, start.len()))
        }
        None => {
            let (segments, sent) = (route.split('/'), path.split('/'));
            let is_same = segments.clone().count() == sent.clone().count();
            let fits = |(segment, sent): (&str, &str)| {
                let is_variable = segment.starts_with('{');
                segment == sent || (is_variable && !sent.is_empty())
            };
            let literal: usize = segments
                .clone()
                .filter(|s| !s.starts_with('{'))
                .map(str::len)
                .sum();
            (is_same && segments.zip(sent).all(fits)).then_some((2, literal))
        }
    }
}

/// The event for a request, as API Gateway would send it.
pub(crate) fn event(
    method: &str,
    path_and_query: &str,
    headers: &[(String, String)],
    body: Option<&[u8]>,
    ip: &str,
) -> Value {
    use base64::Engine;
    let (path, query) = path_and_query
        .split_once('?')
        .unwrap_or((path_and_query, ""));
    let headers: BTreeMap<_, _> = headers.iter().cloned().collect();
    let body = body.map(|body| base64::engine::general_purpose::STANDARD.encode(body));
    json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": query,
        "headers": headers,
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "test",
            "domainName": "api.example.com",
            "domainPrefix": "api",
            "http": {
                "method": method,
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": ip,
                "userAgent": headers.get("user-agent"),
            },
            "requestId": uuid::Uuid::now_v7().to_string(),
            "routeKey": "$default",
            "stage": "$default",
            "timeEpoch": 0,
        },
        "body": body,
        "isBase64Encoded": true,
    })
}
