//! Tokens for calls from one service to another: fetched with client credentials (RFC 6749, section 4.4), kept, and
//! fetched again before they end.

use std::time::Duration;

use aws_smithy_runtime_api::client::http::{HttpConnector, SharedHttpConnector};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use tokio::sync::Mutex;
use url::form_urlencoded::{Serializer, byte_serialize};

use crate::App;
use crate::clock::Clock;
use crate::config::Hidden;
use crate::error::{Context, Error, Result};

/// How long one try may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// What does not answer after so many will not do so for the next caller either.
const MOST_TRIES: u32 = 3;

/// How long nothing is fetched after a failure, so that callers who wait for each other do not wait for each other's
/// tries too.
const PAUSE: SignedDuration = SignedDuration::from_secs(2);

/// Nobody means a token to be kept for longer than a day.
const LONGEST_LIFE: i64 = 24 * 3_600;

/// One client at one token endpoint. Make one and keep it: the token is kept in it.
pub struct ServiceClient {
    connector: SharedHttpConnector,
    clock: Clock,
    token_url: String,
    /// The `Authorization` header.
    authorization: Hidden,
    form: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    token: Option<Kept>,
    /// Nothing is fetched before then.
    not_before: Option<Timestamp>,
}

#[derive(Clone)]
struct Kept {
    token: Hidden,
    renew_at: Timestamp,
    ends_at: Timestamp,
}

/// What a token endpoint answers (RFC 6749, section 5.1).
#[derive(Deserialize)]
struct Granted {
    access_token: String,
    /// Without it the token is not kept.
    #[serde(default)]
    expires_in: i64,
}

/// What it answers to a request that it refuses (section 5.2).
#[derive(Deserialize)]
struct Refusal {
    error: String,
}

impl ServiceClient {
    /// Opens no connection yet. `scope` may be empty: then the token has all that the client may have.
    pub fn new(
        app: &App,
        token_url: &str,
        client_id: &str,
        client_secret: &Hidden,
        scope: &str,
    ) -> Result<Self> {
        let mut form = Serializer::new(String::new());
        form.append_pair("grant_type", "client_credentials");
        if !scope.is_empty() {
            form.append_pair("scope", scope);
        }
        Ok(Self {
            connector: crate::aws::connector(&app.config.aws)
                .context("make a client for the token endpoint")?,
            clock: app.clock.clone(),
            token_url: token_url.to_owned(),
            authorization: basic(client_id, client_secret.reveal()),
            form: form.finish(),
            state: Mutex::default(),
        })
    }

    /// A token that is good for a while yet. Callers at the same time wait for one fetch.
    ///
    /// Fails with [`Error::Unavailable`] if the endpoint cannot be reached, and with [`Error::Refused`] if it does not
    /// take the client. As long as the old token lives, no failure is told.
    pub async fn token(&self) -> Result<String> {
        let mut state = self.state.lock().await;
        let now = self.clock.now();
        let live = state.token.clone().filter(|kept| now < kept.ends_at);
        let may_fetch = state.not_before.is_none_or(|at| at <= now);
        match &live {
            Some(kept) if now < kept.renew_at || !may_fetch => {
                return Ok(kept.token.reveal().to_owned());
            }
            None if !may_fetch => return Err(unavailable("a fetch of a token has just failed")),
            _ => {}
        }
        // Set before, because a caller may be gone before the fetch ends.
        state.not_before = Some(now + PAUSE);
        let fetched = match &live {
            // Nobody has to wait long for a token that is not needed yet.
            Some(_) => tokio::time::timeout(PATIENCE, self.fetch())
                .await
                .unwrap_or_else(|_| Err(unavailable("the token endpoint took too long"))),
            None => self.fetch().await,
        };
        match (fetched, live) {
            (Ok(granted), _) => {
                let token = granted.access_token.clone();
                *state = State {
                    token: Some(Kept::new(granted, now)),
                    not_before: None,
                };
                Ok(token)
            }
            (Err(error), live) => {
                state.not_before = Some(self.clock.now() + PAUSE);
                live.map(|kept| kept.token.reveal().to_owned()).ok_or(error)
            }
        }
    }

    /// Tries again what may pass: no connection, no answer, 429 and 5xx. Any other refusal would come again.
    async fn fetch(&self) -> Result<Granted> {
        let mut tries = 1;
        loop {
            let tried = tokio::time::timeout(PATIENCE, self.ask()).await;
            let late = |_| Err(unavailable("the token endpoint took too long"));
            match tried.unwrap_or_else(late) {
                Err(Error::Unavailable(_)) if tries < MOST_TRIES => back_off(tries).await,
                ended => return ended,
            }
            tries += 1;
        }
    }

    async fn ask(&self) -> Result<Granted> {
        let answer = self.connector.call(self.request()?).await;
        let answer = answer.map_err(|error| {
            let cause = anyhow::Error::new(error);
            Error::Unavailable(cause.context("reach the token endpoint"))
        })?;
        let status = answer.status().as_u16();
        let body = ByteStream::new(answer.into_body()).collect().await;
        let body = body.map_err(|_| unavailable("the answer of the token endpoint broke off"))?;
        let body = body.into_bytes();
        match status {
            200 => serde_json::from_slice(&body).context("read the answer of the token endpoint"),
            429 | 500..=599 => Err(Error::Unavailable(answered(status, &body))),
            _ => Err(Error::Refused(answered(status, &body))),
        }
    }

    fn request(&self) -> Result<HttpRequest> {
        let doing = "build a token request";
        let mut request = HttpRequest::new(SdkBody::from(self.form.as_str()));
        request.set_method("POST").context(doing)?;
        request.set_uri(self.token_url.as_str()).context(doing)?;
        let headers = [
            ("authorization", self.authorization.reveal().to_owned()),
            (
                "content-type",
                "application/x-www-form-urlencoded".to_owned(),
            ),
            ("accept", "application/json".to_owned()),
        ];
        for (name, value) in headers {
            let inserted = request.headers_mut().try_insert(name, value);
            inserted.context(doing)?;
        }
        Ok(request)
    }
}

impl Kept {
    /// A token that was asked for at `now`.
    fn new(granted: Granted, now: Timestamp) -> Self {
        let life = granted.expires_in.clamp(0, LONGEST_LIFE);
        let used = life - earliness(life);
        Self {
            token: Hidden::new(granted.access_token),
            renew_at: now + SignedDuration::from_secs(used),
            ends_at: now + SignedDuration::from_secs(life),
        }
    }
}

/// How many seconds before its end a token is renewed: a fifth of its life and at least a minute, so that whoever gets
/// it has time to use it. One that lives for less than two minutes is used for half of its life.
fn earliness(life: i64) -> i64 {
    let wanted = (life / 5).max(60);
    wanted.min(life / 2)
}

/// Both parts are encoded as in a form first (RFC 6749, section 2.3.1).
fn basic(id: &str, secret: &str) -> Hidden {
    let encoded = |part: &str| byte_serialize(part.as_bytes()).collect::<String>();
    let pair = format!("{}:{}", encoded(id), encoded(secret));
    Hidden::new(format!("Basic {}", STANDARD.encode(pair)))
}

/// The status and the error's code. What else the answer says may hold what was sent.
fn answered(status: u16, body: &[u8]) -> anyhow::Error {
    let refusal: Option<Refusal> = serde_json::from_slice(body).ok();
    let is_word = |code: &String| code.len() <= 40 && code.bytes().all(|b| b.is_ascii_graphic());
    let code = refusal.map(|refusal| refusal.error).filter(is_word);
    let code = code.map(|code| format!(" {code}")).unwrap_or_default();
    anyhow::Error::msg(format!("the token endpoint answered {status}{code}"))
}

fn unavailable(what: &'static str) -> Error {
    Error::Unavailable(anyhow::Error::msg(what))
}

/// Longer each time and never twice the same.
async fn back_off(tries: u32) {
    let most = 100_u64 << tries;
    let pause = fastrand::u64(most / 2..=most);
    tokio::time::sleep(Duration::from_millis(pause)).await;
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::sync::{Arc, Mutex};

    use futures_util::future::join_all;

    use super::*;
    use crate::Config;

    /// What the server was sent, a text a request.
    type Requests = Arc<Mutex<Vec<String>>>;

    /// A server that gives each request the next of these answers, and the last one again and again.
    fn serve(answers: &[(u16, &str)]) -> (String, Requests) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/token", listener.local_addr().unwrap());
        let requests = Requests::default();
        let seen = requests.clone();
        let answers: Vec<_> = answers
            .iter()
            .map(|(status, body)| (*status, (*body).to_owned()))
            .collect();
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let mut connection = connection.unwrap();
                let request = read(&mut connection);
                let number = {
                    let mut seen = seen.lock().unwrap();
                    seen.push(request);
                    seen.len() - 1
                };
                let (status, body) = &answers[number.min(answers.len() - 1)];
                let length = body.len();
                let answer = format!(
                    "HTTP/1.1 {status} -\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\
                     connection: close\r\n\r\n{body}"
                );
                connection.write_all(answer.as_bytes()).unwrap();
            }
        });
        (url, requests)
    }

    fn read(connection: &mut TcpStream) -> String {
        let mut reader = BufReader::new(connection);
        let mut text = String::new();
        while !text.ends_with("\r\n\r\n") {
            assert!(reader.read_line(&mut text).unwrap() > 0, "{text}");
        }
        let lower = text.to_ascii_lowercase();
        let length = lower
            .lines()
            .find_map(|l| l.strip_prefix("content-length: "));
        let mut body = vec![0; length.map_or(0, |length| length.trim().parse().unwrap())];
        reader.read_exact(&mut body).unwrap();
        text + std::str::from_utf8(&body).unwrap()
    }

    fn app() -> App {
        let config = Config::from_lookup(|name| {
            let value = match name {
                "AWS_REGION" => "eu-central-1",
                "AWS_ACCESS_KEY_ID" | "AWS_SECRET_ACCESS_KEY" | "APP_TABLE" => "x",
                "AWS_ENDPOINT_URL" | "TASK_QUEUE_URL" => "http://127.0.0.1:1",
                _ => return None,
            };
            Some(value.to_owned())
        });
        App::new(config.unwrap()).unwrap()
    }

    fn client(app: &App, url: &str) -> ServiceClient {
        let secret = Hidden::new("sheaf_a+b c");
        ServiceClient::new(app, url, "billing", &secret, "orders:read").unwrap()
    }

    const ONE: (u16, &str) = (
        200,
        r#"{"access_token":"one","token_type":"bearer","expires_in":900,"scope":"orders:read"}"#,
    );
    const TWO: (u16, &str) = (200, r#"{"access_token":"two","expires_in":900}"#);
    const DOWN: (u16, &str) = (503, r#"{"error":"temporarily_unavailable"}"#);

    #[tokio::test]
    async fn callers_at_the_same_time_share_one_fetch() {
        let (url, requests) = serve(&[ONE, TWO]);
        let app = app();
        let client = client(&app, &url);
        for token in join_all((0..20).map(|_| client.token())).await {
            assert_eq!(token.unwrap(), "one");
        }
        let requests = requests.lock().unwrap();
        let [request] = requests.as_slice() else {
            panic!("{requests:?}")
        };
        assert!(request.starts_with("POST /token HTTP/1.1\r\n"), "{request}");
        let encoded = STANDARD.encode("billing:sheaf_a%2Bb+c");
        assert!(
            request.contains(&format!("authorization: Basic {encoded}\r\n")),
            "{request}"
        );
        assert!(
            request.ends_with("grant_type=client_credentials&scope=orders%3Aread"),
            "{request}"
        );
    }

    #[tokio::test]
    async fn a_token_is_renewed_before_it_ends() {
        let (url, requests) = serve(&[ONE, TWO]);
        let app = app();
        let client = client(&app, &url);
        assert_eq!(client.token().await.unwrap(), "one");
        // A fifth of 900 seconds is left after 720.
        app.clock.advance(710);
        assert_eq!(client.token().await.unwrap(), "one");
        app.clock.advance(10);
        assert_eq!(client.token().await.unwrap(), "two");
        assert_eq!(requests.lock().unwrap().len(), 2);
    }

    #[test]
    fn a_short_life_is_used_for_its_half() {
        for (life, early) in [
            (3_600, 720),
            (900, 180),
            (300, 60),
            (120, 60),
            (60, 30),
            (1, 0),
            (0, 0),
        ] {
            assert_eq!(earliness(life), early, "of {life} seconds");
        }
    }

    #[tokio::test]
    async fn what_may_pass_is_tried_three_times() {
        let (url, requests) = serve(&[DOWN, (429, ""), ONE]);
        let app = app();
        assert_eq!(client(&app, &url).token().await.unwrap(), "one");
        assert_eq!(requests.lock().unwrap().len(), 3);

        let (url, requests) = serve(&[DOWN]);
        let client = client(&app, &url);
        for _ in 0..2 {
            let failed = client.token().await;
            assert!(matches!(failed, Err(Error::Unavailable(_))), "{failed:?}");
        }
        // The second caller was told at once.
        assert_eq!(requests.lock().unwrap().len(), 3);
        app.clock.advance(3);
        client.token().await.unwrap_err();
        assert_eq!(requests.lock().unwrap().len(), 6);
    }

    #[tokio::test]
    async fn a_refusal_is_not_tried_again() {
        for status in [400, 401, 403, 404] {
            let (url, requests) = serve(&[(status, r#"{"error":"invalid_client"}"#)]);
            let app = app();
            let refused = client(&app, &url).token().await;
            let Err(Error::Refused(cause)) = &refused else {
                panic!("{refused:?}")
            };
            let expected = format!("the token endpoint answered {status} invalid_client");
            assert_eq!(cause.to_string(), expected);
            assert_eq!(requests.lock().unwrap().len(), 1);
        }
    }

    #[tokio::test]
    async fn nobody_there_is_unavailable() {
        let app = app();
        let failed = client(&app, "http://127.0.0.1:1/token").token().await;
        assert!(matches!(failed, Err(Error::Unavailable(_))), "{failed:?}");
    }

    #[tokio::test]
    async fn the_old_token_serves_while_a_new_one_cannot_be_fetched() {
        let (url, requests) = serve(&[ONE, DOWN, DOWN, DOWN, TWO]);
        let app = app();
        let client = client(&app, &url);
        assert_eq!(client.token().await.unwrap(), "one");
        app.clock.advance(800);
        assert_eq!(client.token().await.unwrap(), "one");
        // Within the pause nothing is fetched.
        assert_eq!(client.token().await.unwrap(), "one");
        assert_eq!(requests.lock().unwrap().len(), 4);
        app.clock.advance(3);
        assert_eq!(client.token().await.unwrap(), "two");
    }
}
