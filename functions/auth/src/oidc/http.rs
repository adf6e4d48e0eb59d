//! The HTTP client for providers: to public addresses and by TLS only, without redirects, for a short time and a small
//! answer.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use axum::body::Bytes;
use http::{Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use openidconnect::{AsyncHttpClient, HttpRequest, HttpResponse};
use shared::Result;
use tokio::net::TcpStream;
use tower_service::Service;

use super::address::may_call;

/// Longest that a request may take, with its answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Largest body of an answer, in bytes.
const LARGEST_ANSWER: usize = 256 * 1024;

/// Why there is no answer of use.
#[derive(Debug, thiserror::Error)]
pub(super) enum HttpError {
    #[error("there is no whole answer within {} seconds", PATIENCE.as_secs())]
    TooSlow,
    #[error("the request cannot be sent")]
    Unsent(#[source] hyper_util::client::legacy::Error),
    #[error("the answer breaks off, or has more than {LARGEST_ANSWER} bytes")]
    Unread(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A redirect is not followed: a provider's documents name the URLs that count.
    #[error("the answer is {0}")]
    Status(StatusCode),
}

pub(super) struct Http(Client<HttpsConnector<Guarded>, Full<Bytes>>);

impl Http {
    /// `local` lets it reach this machine, also without TLS.
    pub(super) fn new(local: bool) -> Result<Self> {
        let schemes = HttpsConnectorBuilder::new().with_tls_config(shared::tls::client_config()?);
        let schemes = match local {
            true => schemes.https_or_http(),
            false => schemes.https_only(),
        };
        let connector = schemes.enable_http1().wrap_connector(Guarded { local });
        // Requests are rare, and while Lambda freezes an instance its connections die.
        let client = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(0)
            .build(connector);
        Ok(Self(client))
    }

    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let exchange = async {
            let request = request.map(|body| Full::new(Bytes::from(body)));
            let answer = self.0.request(request).await.map_err(HttpError::Unsent)?;
            let (head, body) = answer.into_parts();
            if head.status.is_redirection() || head.status.is_server_error() {
                return Err(HttpError::Status(head.status));
            }
            let body = Limited::new(body, LARGEST_ANSWER).collect().await;
            let body = body.map_err(HttpError::Unread)?.to_bytes();
            Ok(Response::from_parts(head, body.to_vec()))
        };
        let answer = tokio::time::timeout(PATIENCE, exchange).await;
        answer.map_err(|_| HttpError::TooSlow)?
    }
}

impl<'c> AsyncHttpClient<'c> for Http {
    type Error = HttpError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.send(request))
    }
}

/// Connects to the addresses that [`may_call`] allows. The rule is kept at the last moment, because a name may have
/// another address each time one asks.
#[derive(Clone)]
pub(super) struct Guarded {
    local: bool,
}

impl Service<Uri> for Guarded {
    type Response = TokioIo<TcpStream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, url: Uri) -> Self::Future {
        Box::pin(connect(url, self.local))
    }
}

async fn connect(url: Uri, local: bool) -> io::Result<TokioIo<TcpStream>> {
    let host = url.host().unwrap_or_default();
    // The brackets of an IPv6 address belong to the URL.
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let port = match (url.port_u16(), url.scheme_str()) {
        (Some(port), _) => port,
        (None, Some("http")) => 80,
        (None, _) => 443,
    };
    let known = tokio::net::lookup_host((host, port)).await?;
    let allowed: Vec<_> = known.filter(|to| may_call(to.ip(), local)).collect();
    if allowed.is_empty() {
        let refusal = format!("{host} has no address that may be called");
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, refusal));
    }
    TcpStream::connect(allowed.as_slice())
        .await
        .map(TokioIo::new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// A server that gives each request this answer, and its URL.
    async fn server(answer: Vec<u8>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            loop {
                let (mut connection, _) = listener.accept().await.unwrap();
                let _ = connection.read(&mut [0; 4_096]).await;
                let _ = connection.write_all(&answer).await;
            }
        });
        format!("http://{address}")
    }

    fn answer(status: &str, header: &str, body: usize) -> Vec<u8> {
        let head = format!("HTTP/1.1 {status}\r\ncontent-length: {body}\r\n{header}\r\n");
        [head.into_bytes(), vec![b'a'; body]].concat()
    }

    async fn get(http: &Http, url: &str) -> Result<HttpResponse, HttpError> {
        let request = http::Request::get(url).body(Vec::new()).unwrap();
        http.call(request).await
    }

    #[tokio::test]
    async fn answers_are_small_and_no_redirects() {
        let http = Http::new(true).unwrap();
        let most = server(answer("200 OK", "", LARGEST_ANSWER)).await;
        let body = get(&http, &most).await.unwrap().into_body();
        assert_eq!(body.len(), LARGEST_ANSWER);
        let more = server(answer("200 OK", "", LARGEST_ANSWER + 1)).await;
        let error = get(&http, &more).await.unwrap_err();
        assert!(matches!(error, HttpError::Unread(_)), "{error:?}");
        let elsewhere = answer("302 Found", &format!("location: {most}\r\n"), 0);
        let error = get(&http, &server(elsewhere).await).await.unwrap_err();
        assert!(
            matches!(error, HttpError::Status(StatusCode::FOUND)),
            "{error:?}"
        );
        let refusal = server(answer("401 Unauthorized", "", 2)).await;
        assert_eq!(get(&http, &refusal).await.unwrap().status(), 401);
    }

    #[tokio::test]
    async fn deployed_it_reaches_nothing_without_tls() {
        let http = Http::new(false).unwrap();
        let url = server(answer("200 OK", "", 2)).await;
        let error = format!("{:?}", get(&http, &url).await.unwrap_err());
        assert!(error.contains("unsupported scheme"), "{error}");
    }

    /// By whatever name: also by numbers, which some resolvers read as addresses.
    #[tokio::test]
    async fn deployed_it_does_not_reach_this_machine() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        for host in [
            "127.0.0.1",
            "localhost",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "2130706433",
            "0x7f.1",
            "127.1",
            "0.0.0.0",
        ] {
            let url: Uri = format!("https://{host}:{port}").parse().unwrap();
            assert!(connect(url, false).await.is_err(), "{host}");
        }
        let url: Uri = format!("http://localhost:{port}").parse().unwrap();
        assert!(connect(url, true).await.is_ok());
        // Only the last one has knocked.
        listener.accept().await.unwrap();
        let another = tokio::time::timeout(Duration::from_millis(50), listener.accept());
        assert!(another.await.is_err());
    }

    #[tokio::test]
    async fn locally_it_reaches_no_other_private_address() {
        let http = Http::new(true).unwrap();
        let error = get(&http, "http://169.254.169.254/latest").await;
        let error = format!("{:?}", error.unwrap_err());
        assert!(error.contains("may be called"), "{error}");
    }
}
