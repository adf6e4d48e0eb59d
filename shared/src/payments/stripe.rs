//! What we ask of Stripe, by its HTTP API: <https://docs.stripe.com/api>. It is four requests, which need no crate that
//! knows them all.
//!
//! Nothing is kept from one use to the next. No error names a key or a client secret: of what Stripe says against a
//! request only the type and the code are told, because its message and its details repeat what they are about.

use std::time::Duration;

use axum::body::Bytes;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Request, StatusCode, request};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::form_urlencoded;
use uuid::Uuid;

use crate::config::{Hidden, StripeKeys};
use crate::error::{Context, Error, Result};
use crate::models::money::Money;
use crate::models::order::Order;

/// Of the API. Each answer has the form of this one, whatever is new since.
const VERSION: &str = "2024-06-20";

/// Longest that a request may take, with its answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Largest body of an answer, in bytes.
const LARGEST_ANSWER: usize = 256 * 1024;

/// The codes of amounts that nobody can pay there.
const UNPAYABLE: [&str; 2] = ["amount_too_small", "amount_too_large"];

/// The code of a refund that there is nothing left to do for.
const REFUNDED: &str = "charge_already_refunded";

/// A payment as Stripe knows it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "IntentJson")]
pub struct Intent {
    pub id: String,
    pub status: IntentStatus,
    /// What was received once it has succeeded; else what is asked for.
    pub amount: Money,
    /// In capitals.
    pub currency: String,
    /// Lets a customer's browser pay this intent, and nothing else.
    pub client_secret: Option<Hidden>,
    /// What it pays. Of what others have made with the same account it is nothing of ours.
    pub order: Option<OrderRef>,
}

/// An order, by what an intent was told of it when it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderRef {
    pub user_id: Uuid,
    pub order_id: Uuid,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntentStatus {
    /// It waits for the customer.
    Open,
    /// The customer has paid, and their bank takes its time.
    Processing,
    Succeeded,
    Cancelled,
}

/// An intent on the wire, in answers and in events.
#[derive(Deserialize)]
struct IntentJson {
    id: String,
    status: String,
    amount: i64,
    amount_received: Option<i64>,
    currency: String,
    client_secret: Option<Hidden>,
    metadata: Option<Metadata>,
}

/// What we have written on an intent, and Stripe on its charge.
#[derive(Default, Deserialize)]
pub(super) struct Metadata {
    order_id: Option<String>,
    user_id: Option<String>,
}

impl From<IntentJson> for Intent {
    fn from(json: IntentJson) -> Self {
        let status = match json.status.as_str() {
            "succeeded" => IntentStatus::Succeeded,
            "canceled" => IntentStatus::Cancelled,
            "processing" => IntentStatus::Processing,
            _ => IntentStatus::Open,
        };
        let received = json.amount_received.filter(|amount| *amount > 0);
        let amount = match (status, received) {
            (IntentStatus::Succeeded, Some(received)) => received,
            _ => json.amount,
        };
        Self {
            id: json.id,
            status,
            amount: Money::from_minor(amount),
            currency: json.currency.to_ascii_uppercase(),
            client_secret: json.client_secret,
            order: json.metadata.unwrap_or_default().order(),
        }
    }
}

impl Metadata {
    /// None unless both are ids: others write there what they like.
    pub(super) fn order(&self) -> Option<OrderRef> {
        let id = |text: &Option<String>| Uuid::parse_str(text.as_deref()?).ok();
        Some(OrderRef {
            user_id: id(&self.user_id)?,
            order_id: id(&self.order_id)?,
        })
    }
}

/// The way to Stripe with one account's key.
pub struct Stripe {
    http: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    api_url: String,
    authorization: HeaderValue,
}

impl Stripe {
    /// Without TLS only if the URL says so, which is for servers on the same machine.
    pub fn new(keys: &StripeKeys) -> Result<Self> {
        let schemes = HttpsConnectorBuilder::new().with_tls_config(crate::tls::client_config()?);
        let schemes = match keys.api_url.starts_with("http://") {
            true => schemes.https_or_http(),
            false => schemes.https_only(),
        };
        // Requests are rare, and while Lambda freezes an instance its connections die.
        let http = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(0)
            .build(schemes.enable_http1().build());
        let authorization = format!("Bearer {}", keys.secret_key.reveal());
        let authorization = HeaderValue::try_from(authorization);
        let mut authorization = authorization.context("make a header of the key for Stripe")?;
        authorization.set_sensitive(true);
        Ok(Self {
            http,
            api_url: keys.api_url.clone(),
            authorization,
        })
    }

    /// Asks for what an order costs. Within a day it is the same intent again, however often that is done; the answer
    /// shows it as it was at first.
    pub async fn create_intent(&self, order: &Order) -> Result<Intent> {
        let amount = order.total().minor().to_string();
        let currency = order.currency.to_ascii_lowercase();
        let (order_id, user_id) = (order.id.to_string(), order.user_id.to_string());
        let form = [
            ("amount", amount.as_str()),
            ("currency", currency.as_str()),
            ("metadata[order_id]", order_id.as_str()),
            ("metadata[user_id]", user_id.as_str()),
        ];
        let key = format!("order-{order_id}");
        let answer = self.post("/v1/payment_intents", Some(&key), &form).await?;
        if UNPAYABLE.contains(&answer.problem().code.as_deref().unwrap_or_default()) {
            let refusal = "The payment provider does not take payments of this amount.";
            return Err(Error::IllegalTransition(refusal));
        }
        answer.read("make a payment intent")
    }

    pub async fn intent(&self, id: &str) -> Result<Intent> {
        let request = Request::get(self.url(&path_of(id)?));
        let answer = self.send(request, String::new()).await?;
        answer.read("read a payment intent")
    }

    /// Cancels an intent, and answers it as it is then: cancelled, or on its way or paid if that was first. It is never
    /// open.
    pub async fn cancel_intent(&self, id: &str) -> Result<Intent> {
        let path = format!("{}/cancel", path_of(id)?);
        let answer = self.post(&path, None, &[]).await?;
        let intent = match answer.status {
            // The error is not the same for all that can be the matter, and the intent is.
            StatusCode::BAD_REQUEST => self.intent(id).await?,
            _ => answer.read("cancel a payment intent")?,
        };
        match intent.status {
            // The bank has refused a payment after it was too late to cancel, and another one may be tried.
            IntentStatus::Open => Err(Error::Unavailable(anyhow::Error::msg(
                "the payment intent can be paid still",
            ))),
            IntentStatus::Processing | IntentStatus::Succeeded | IntentStatus::Cancelled => {
                Ok(intent)
            }
        }
    }

    /// Gives back all that was paid with an intent, once, however often it is asked for: Stripe never gives back more than
    /// it has got. Without a key, whose first answer would be repeated for a day, also if it was that of an outage. A
    /// refund may take its time after that, and a bank may still refuse it days later.
    pub async fn refund(&self, intent: &str) -> Result<()> {
        let doing = "refund a payment";
        let form = [("payment_intent", intent)];
        let answer = self.post("/v1/refunds", None, &form).await?;
        let is_refusal = answer.status == StatusCode::BAD_REQUEST;
        if is_refusal && answer.problem().code.as_deref() == Some(REFUNDED) {
            return Ok(());
        }
        let refund: RefundJson = answer.read(doing)?;
        match refund.status.as_deref() {
            Some(status @ ("failed" | "canceled")) => {
                let cause = anyhow::Error::msg(format!("the refund is {status}"));
                Err(Error::Refused(cause.context(doing)))
            }
            _ => Ok(()),
        }
    }

    /// Sends a form; with a key it is done once, however often it is sent.
    async fn post(&self, path: &str, key: Option<&str>, form: &[(&str, &str)]) -> Result<Answer> {
        let form = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form)
            .finish();
        // hyper leaves out the length of nothing, and some proxies insist on it.
        let mut request = Request::post(self.url(path))
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(CONTENT_LENGTH, form.len());
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        self.send(request, form).await
    }

    /// The answer to a request, whatever its status. An error if there is none.
    async fn send(&self, request: request::Builder, body: String) -> Result<Answer> {
        let request = request
            .header(AUTHORIZATION, &self.authorization)
            .header("stripe-version", VERSION)
            .body(Full::new(Bytes::from(body)))
            .context("make a request to Stripe")?;
        let exchange = async {
            let sent = self.http.request(request).await;
            let (head, body) = sent.map_err(Unanswered::Unsent)?.into_parts();
            let body = Limited::new(body, LARGEST_ANSWER).collect().await;
            Ok::<_, Unanswered>(Answer {
                status: head.status,
                body: body.map_err(Unanswered::Unread)?.to_bytes(),
            })
        };
        let answer = tokio::time::timeout(PATIENCE, exchange).await;
        let answer = answer.unwrap_or(Err(Unanswered::TooSlow));
        answer.map_err(|error| Error::Unavailable(anyhow::Error::new(error).context("ask Stripe")))
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.api_url)
    }
}

/// The path of an intent. Nothing in it is escaped, because an id has nothing to escape.
fn path_of(intent: &str) -> Result<String> {
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    match !intent.is_empty() && intent.bytes().all(is_good) {
        true => Ok(format!("/v1/payment_intents/{intent}")),
        false => Err(Error::Refused(anyhow::Error::msg(
            "this is no id of a payment intent",
        ))),
    }
}

/// Why there is no answer. What was asked may have been done.
#[derive(Debug, thiserror::Error)]
enum Unanswered {
    #[error("there is no whole answer within {} seconds", PATIENCE.as_secs())]
    TooSlow,
    #[error("the request cannot be sent")]
    Unsent(#[source] hyper_util::client::legacy::Error),
    #[error("the answer breaks off, or has more than {LARGEST_ANSWER} bytes")]
    Unread(#[source] Box<dyn std::error::Error + Send + Sync>),
}

struct Answer {
    status: StatusCode,
    body: Bytes,
}

#[derive(Deserialize)]
struct RefundJson {
    status: Option<String>,
}

#[derive(Deserialize)]
struct ProblemJson {
    error: Problem,
}

/// What may be told of an error.
#[derive(Default, Deserialize)]
struct Problem {
    #[serde(rename = "type")]
    kind: Option<String>,
    code: Option<String>,
}

impl Answer {
    /// What is in it, if that was done.
    fn read<T: DeserializeOwned>(&self, doing: &'static str) -> Result<T> {
        match self.status.is_success() {
            true => serde_json::from_slice(&self.body).context(doing),
            false => Err(self.error(doing)),
        }
    }

    /// What a conflict or a limit refuses now is done later; what is wrong with a request stays wrong.
    fn error(&self, doing: &'static str) -> Error {
        let Problem { kind, code } = self.problem();
        let status = self.status.as_u16();
        let kind = kind.as_deref().unwrap_or("no type");
        let code = code.as_deref().unwrap_or("no code");
        let cause = anyhow::Error::msg(format!("Stripe answers {status}: {kind}, {code}"));
        match status {
            // A wrong key is mended, and what was asked is still to be done then.
            401 | 403 => {
                tracing::error!(cause = format!("{cause:#}"), "Stripe does not know our key");
                Error::Unavailable(cause.context(doing))
            }
            409 | 429 | 500.. => Error::Unavailable(cause.context(doing)),
            _ => Error::Refused(cause.context(doing)),
        }
    }

    /// Empty if the body is none of Stripe's, as what stands between may answer.
    fn problem(&self) -> Problem {
        let body: Option<ProblemJson> = serde_json::from_slice(&self.body).ok();
        body.map(|body| body.error).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use serde_json::{Value, json};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::models::item::Title;
    use crate::models::money::Percent;
    use crate::models::order::{OrderLine, Provider};

    const KEY: &str = "sk_test_hush";
    const FORM: &str = "content-type: application/x-www-form-urlencoded";

    fn stripe(api_url: String) -> Stripe {
        let keys = StripeKeys {
            secret_key: Hidden::new(KEY),
            webhook_secret: Hidden::new("whsec_hush"),
            api_url,
        };
        Stripe::new(&keys).unwrap()
    }

    /// A Stripe that gives these answers, one a request, and what it is sent.
    async fn answering<const N: usize>(
        answers: [(u16, Value); N],
    ) -> (Stripe, Arc<Mutex<Vec<String>>>) {
        let answers = answers.map(|(status, body)| {
            let body = body.to_string();
            let length = body.len();
            format!("HTTP/1.1 {status} Any\r\ncontent-length: {length}\r\n\r\n{body}")
        });
        saying(answers).await
    }

    /// The same with any texts for answers.
    async fn saying<const N: usize>(answers: [String; N]) -> (Stripe, Arc<Mutex<Vec<String>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = asked.clone();
        tokio::spawn(async move {
            for answer in answers {
                let (mut connection, _) = listener.accept().await.unwrap();
                let request = request(&mut connection).await;
                seen.lock().unwrap().push(request);
                // The client may have heard enough.
                let _ = connection.write_all(answer.as_bytes()).await;
            }
        });
        (stripe(url), asked)
    }

    /// A request as it comes, with its body.
    async fn request(connection: &mut TcpStream) -> String {
        let mut text = String::new();
        loop {
            let mut part = [0; 4_096];
            let count = connection.read(&mut part).await.unwrap();
            text.push_str(std::str::from_utf8(&part[..count]).unwrap());
            let Some((head, body)) = text.split_once("\r\n\r\n") else {
                assert_ne!(count, 0, "{text}");
                continue;
            };
            let mut lines = head.lines();
            let length = lines.find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return text;
            }
            assert_ne!(count, 0, "{text}");
        }
    }

    fn order() -> Order {
        let line = OrderLine::new(
            Uuid::from_u128(7),
            Title::parse("Wool blanket").unwrap(),
            2,
            Money::from_minor(1_999),
            Percent::from_hundredths(1_900).unwrap(),
        );
        let now = crate::models::time::now();
        let user = Uuid::from_u128(2);
        let order = Order::new(user, vec![line], "EUR", Provider::Stripe, now, now);
        Order {
            id: Uuid::from_u128(1),
            ..order
        }
    }

    fn order_ref() -> OrderRef {
        OrderRef {
            user_id: Uuid::from_u128(2),
            order_id: Uuid::from_u128(1),
        }
    }

    fn intent_json(status: &str) -> Value {
        json!({
            "id": "pi_1", "object": "payment_intent", "status": status, "amount": 4_758, "currency": "eur",
            "client_secret": "pi_1_secret_hush",
            "metadata": {"order_id": Uuid::from_u128(1), "user_id": Uuid::from_u128(2)},
        })
    }

    fn problem(code: Option<&str>) -> Value {
        json!({"error": {
            "type": "invalid_request_error", "code": code, "message": format!("hush {KEY}"),
            "payment_intent": intent_json("succeeded"),
        }})
    }

    #[tokio::test]
    async fn an_intent_is_made_with_all_that_tells_of_its_order() {
        let (stripe, asked) = answering([(200, intent_json("requires_payment_method"))]).await;
        let intent = stripe.create_intent(&order()).await.unwrap();
        assert_eq!(
            intent,
            Intent {
                id: "pi_1".to_owned(),
                status: IntentStatus::Open,
                amount: Money::from_minor(4_758),
                currency: "EUR".to_owned(),
                client_secret: Some(Hidden::new("pi_1_secret_hush")),
                order: Some(order_ref()),
            }
        );
        assert!(!format!("{intent:?}").contains("hush"));

        let asked = asked.lock().unwrap();
        let (head, body) = asked[0].split_once("\r\n\r\n").unwrap();
        let (first, headers) = head.split_once("\r\n").unwrap();
        assert_eq!(first, "POST /v1/payment_intents HTTP/1.1");
        let headers: Vec<_> = headers.lines().collect();
        let key = format!("idempotency-key: order-{}", Uuid::from_u128(1));
        let bearer = format!("authorization: Bearer {KEY}");
        let version = "stripe-version: 2024-06-20";
        for header in [FORM, version, bearer.as_str(), key.as_str()] {
            assert!(headers.contains(&header), "{header} is missing: {head}");
        }
        let form: Vec<_> = form_urlencoded::parse(body.as_bytes())
            .into_owned()
            .collect();
        let expected = [
            ("amount", "4758"),
            ("currency", "eur"),
            ("metadata[order_id]", "00000000-0000-0000-0000-000000000001"),
            ("metadata[user_id]", "00000000-0000-0000-0000-000000000002"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(form, expected);
    }

    #[tokio::test]
    async fn an_intent_is_read() {
        let (stripe, asked) = answering([(200, intent_json("processing"))]).await;
        let intent = stripe.intent("pi_1").await.unwrap();
        assert_eq!(intent.status, IntentStatus::Processing);
        let asked = asked.lock().unwrap();
        assert!(asked[0].starts_with("GET /v1/payment_intents/pi_1 HTTP/1.1\r\n"));
        assert!(!asked[0].contains("idempotency-key"), "{}", asked[0]);
        assert!(asked[0].ends_with("\r\n\r\n"), "{}", asked[0]);
    }

    #[test]
    fn what_an_intent_says() {
        let with = |fields: Value| {
            let mut json = intent_json("requires_payment_method");
            let fields = fields.as_object().unwrap().clone();
            json.as_object_mut().unwrap().extend(fields);
            serde_json::from_value::<Intent>(json).unwrap()
        };
        for (status, expected) in [
            ("requires_payment_method", IntentStatus::Open),
            ("requires_confirmation", IntentStatus::Open),
            ("requires_action", IntentStatus::Open),
            ("requires_capture", IntentStatus::Open),
            ("what comes next", IntentStatus::Open),
            ("processing", IntentStatus::Processing),
            ("succeeded", IntentStatus::Succeeded),
            ("canceled", IntentStatus::Cancelled),
        ] {
            assert_eq!(with(json!({"status": status})).status, expected, "{status}");
        }
        for (status, received, expected) in [
            ("succeeded", json!(4_700), 4_700),
            ("succeeded", json!(0), 4_758),
            ("succeeded", json!(null), 4_758),
            ("processing", json!(4_700), 4_758),
            ("requires_payment_method", json!(0), 4_758),
        ] {
            let intent = with(json!({"status": status, "amount_received": received}));
            assert_eq!(intent.amount.minor(), expected, "{status} {received}");
        }
        let id = Uuid::from_u128(1);
        for metadata in [
            json!(null),
            json!({}),
            json!({"order_id": id}),
            json!({"user_id": id}),
            json!({"order_id": "1047", "user_id": id}),
            json!({"order_id": id, "user_id": ""}),
        ] {
            let intent = with(json!({"metadata": metadata}));
            assert_eq!(intent.order, None, "{metadata}");
        }
        let bare = json!({"id": "pi_1", "status": "succeeded", "amount": 1, "currency": "jpy"});
        let intent: Intent = serde_json::from_value(bare).unwrap();
        assert_eq!((intent.client_secret, intent.order), (None, None));
        assert_eq!(intent.currency, "JPY");
    }

    /// Each case is an answer, whether it may be another one later, and what is told of it.
    #[tokio::test]
    async fn what_is_refused_now_and_what_for_ever() {
        let invalid = problem(Some("parameter_invalid"));
        for (status, body, is_retryable, told) in [
            (500, json!({}), true, "500: no type, no code"),
            (
                503,
                json!("<html>hush</html>"),
                true,
                "503: no type, no code",
            ),
            (409, problem(Some("idempotency_key_in_use")), true, "409: "),
            (429, problem(Some("rate_limit")), true, "rate_limit"),
            (
                400,
                invalid,
                false,
                "400: invalid_request_error, parameter_invalid",
            ),
            (401, problem(None), true, "401: invalid_request_error, no"),
            (402, problem(Some("card_declined")), false, "card_declined"),
            (403, problem(None), true, "403: "),
            (404, problem(Some("resource_missing")), false, "404: "),
            (302, json!({}), false, "302: "),
        ] {
            let (stripe, _) = answering([(status, body)]).await;
            let error = stripe.create_intent(&order()).await.unwrap_err();
            assert_eq!(error.retryable(), is_retryable, "{error:?}");
            let (Error::Unavailable(cause) | Error::Refused(cause)) = &error else {
                panic!("{error:?}");
            };
            let cause = format!("{cause:#}");
            assert!(cause.starts_with("make a payment intent: "), "{cause}");
            assert!(cause.contains(told), "{cause}");
            assert!(!format!("{error:?}").contains("hush"), "{error:?}");
        }
    }

    #[tokio::test]
    async fn no_answer_may_be_one_later() {
        // Nothing listens there.
        let nobody = stripe("http://127.0.0.1:1".to_owned());
        let large = "a".repeat(LARGEST_ANSWER + 1);
        let length = large.len();
        let large = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{large}");
        let broken = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"id\"".to_owned();
        for stripe in [
            nobody,
            saying([String::new()]).await.0,
            saying([large]).await.0,
            saying([broken]).await.0,
        ] {
            let error = stripe.intent("pi_1").await.unwrap_err();
            assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
            assert!(!format!("{error:?}").contains(KEY), "{error:?}");
        }
        // Nor is this an answer, though it is whole.
        let (stripe, _) = answering([(200, json!({"id": "pi_1"}))]).await;
        let error = stripe.intent("pi_1").await.unwrap_err();
        assert!(matches!(error, Error::Internal(_)), "{error:?}");
    }

    #[tokio::test]
    async fn what_cannot_be_cancelled_is_answered_as_it_is() {
        let (stripe, asked) = answering([(200, intent_json("canceled"))]).await;
        let intent = stripe.cancel_intent("pi_1").await.unwrap();
        assert_eq!(intent.status, IntentStatus::Cancelled);
        let request = asked.lock().unwrap()[0].clone();
        assert!(request.starts_with("POST /v1/payment_intents/pi_1/cancel HTTP/1.1\r\n"));
        assert!(request.contains("\r\ncontent-length: 0\r\n"), "{request}");

        for (status, expected) in [
            ("canceled", IntentStatus::Cancelled),
            ("processing", IntentStatus::Processing),
            ("succeeded", IntentStatus::Succeeded),
        ] {
            let refusal = problem(Some("payment_intent_unexpected_state"));
            let answers = [(400, refusal), (200, intent_json(status))];
            let (stripe, asked) = answering(answers).await;
            let intent = stripe.cancel_intent("pi_1").await.unwrap();
            assert_eq!(intent.status, expected);
            assert!(asked.lock().unwrap()[1].starts_with("GET /v1/payment_intents/pi_1 "));
        }

        // Who asks again will cancel it.
        let refusal = problem(Some("payment_intent_unexpected_state"));
        let answers = [
            (400, refusal),
            (200, intent_json("requires_payment_method")),
        ];
        let (stripe, _) = answering(answers).await;
        let error = stripe.cancel_intent("pi_1").await.unwrap_err();
        assert!(matches!(error, Error::Unavailable(_)), "{error:?}");

        let (stripe, _) = answering([(404, problem(Some("resource_missing")))]).await;
        let error = stripe.cancel_intent("pi_1").await.unwrap_err();
        assert!(matches!(error, Error::Refused(_)), "{error:?}");
    }

    /// Each case is an answer, and the code of its error unless it is a success.
    #[tokio::test]
    async fn a_refund_is_made_once() {
        let refund = |status: Value| json!({"id": "re_1", "object": "refund", "status": status});
        for (status, body, expected) in [
            (200, refund(json!("succeeded")), None),
            (200, refund(json!("pending")), None),
            (200, refund(json!("requires_action")), None),
            (200, refund(json!(null)), None),
            (200, refund(json!("failed")), Some("refused")),
            (200, refund(json!("canceled")), Some("refused")),
            (400, problem(Some(REFUNDED)), None),
            (400, problem(Some("charge_disputed")), Some("refused")),
            (400, problem(None), Some("refused")),
            (404, problem(Some("resource_missing")), Some("refused")),
            (500, problem(Some(REFUNDED)), Some("unavailable")),
        ] {
            let (stripe, asked) = answering([(status, body.clone())]).await;
            let done = stripe.refund("pi_1").await;
            let code = done.as_ref().err().map(Error::code);
            assert_eq!(code, expected, "{status} {body}");
            let asked = asked.lock().unwrap();
            assert!(asked[0].starts_with("POST /v1/refunds HTTP/1.1\r\n"));
            assert!(!asked[0].contains("idempotency-key"), "{}", asked[0]);
            assert!(asked[0].ends_with("\r\n\r\npayment_intent=pi_1"));
        }
    }

    #[tokio::test]
    async fn no_id_leads_to_another_path() {
        let (stripe, asked) = answering([]).await;
        for id in [
            "",
            "pi_1/confirm",
            "../refunds",
            "pi_1?a=b",
            "pi 1",
            "pi_ä",
            "pi%5F1",
        ] {
            for answer in [stripe.intent(id).await, stripe.cancel_intent(id).await] {
                let error = answer.unwrap_err();
                assert!(matches!(error, Error::Refused(_)), "{id}: {error:?}");
            }
        }
        assert!(asked.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn an_https_url_is_called_by_tls() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stripe = stripe(format!("https://{}", listener.local_addr().unwrap()));
        let first_byte = async {
            let (mut connection, _) = listener.accept().await.unwrap();
            connection.read_u8().await.unwrap()
        };
        let (answer, first_byte) = tokio::join!(stripe.intent("pi_1"), first_byte);
        // A handshake (RFC 8446, section 5.1).
        assert_eq!(first_byte, 22);
        let error = answer.unwrap_err();
        assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
    }
}
