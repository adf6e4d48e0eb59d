//! Services of AWS that only some stories need, each served for its test alone.

use std::sync::{Arc, Mutex};

use http::Response;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;
use winterbaume_core::{MockRequest, MockService};

/// Serves a service, which knows itself by its `host`. Answers its URL, and the bodies of what it was sent.
pub(crate) async fn serve(
    service: impl MockService + 'static,
    host: &'static str,
) -> (String, Arc<Mutex<Vec<Value>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let service = Arc::new(service);
    let sent: Arc<Mutex<Vec<Value>>> = Arc::default();
    let seen = Arc::clone(&sent);
    tokio::spawn(async move {
        loop {
            let (connection, _) = listener.accept().await.unwrap();
            let (service, seen) = (service.clone(), Arc::clone(&seen));
            let answer = service_fn(move |request: http::Request<Incoming>| {
                let (service, seen) = (service.clone(), Arc::clone(&seen));
                async move {
                    let (head, body) = request.into_parts();
                    let body = body.collect().await?.to_bytes();
                    let json = serde_json::from_slice(&body).unwrap();
                    seen.lock().unwrap().push(json);
                    let answer = service.handle(MockRequest {
                        method: head.method.to_string(),
                        uri: format!("https://{host}{}", head.uri.path()),
                        headers: head.headers,
                        body,
                    });
                    let answer = answer.await;
                    let mut response = Response::new(Full::<Bytes>::new(answer.body));
                    *response.status_mut() = answer.status.try_into().unwrap();
                    *response.headers_mut() = answer.headers;
                    Ok::<_, hyper::Error>(response)
                }
            });
            let http = hyper::server::conn::http1::Builder::new();
            tokio::spawn(http.serve_connection(TokioIo::new(connection), answer));
        }
    });
    (url, sent)
}
