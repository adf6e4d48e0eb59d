//! A payment provider in process, which speaks the part of Stripe's API that we use, and is as strict as Stripe: about
//! keys, parameters, amounts, and what can be done with an intent in which state.
//!
//! It tells nothing by itself. A test takes an event from it, and sends that as often, as late or as wrong as it likes.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use ring::hmac;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use url::form_urlencoded;
use uuid::Uuid;

use crate::faults::{Fault, Faults};

/// Of the API that it speaks.
const VERSION: &str = "2024-06-20";

/// What a payment in euros may be, in cents.
const LEAST: i64 = 50;
const MOST: i64 = 99_999_999;

const OPEN: &str = "requires_payment_method";
const PROCESSING: &str = "processing";
const SUCCEEDED: &str = "succeeded";
const CANCELED: &str = "canceled";

/// A running provider with one account.
#[derive(Clone, Debug)]
pub struct StripeServer {
    url: String,
    state: Arc<Mutex<State>>,
}

/// A payment as the provider knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntentState {
    pub id: String,
    /// In Stripe's words.
    pub status: String,
    /// In minor units.
    pub amount: i64,
    /// In small letters.
    pub currency: String,
    pub client_secret: String,
    pub order_id: Option<Uuid>,
    /// How much was given back.
    pub refunded: i64,
    /// How often something was.
    pub refunds: usize,
}

impl StripeServer {
    pub const SECRET_KEY: &'static str = "sk_test_hush";
    pub const WEBHOOK_SECRET: &'static str = "whsec_hush";

    /// It ends with the test's runtime.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            state: Arc::default(),
        };
        let state = Arc::clone(&server.state);
        tokio::spawn(async move {
            loop {
                let (connection, _) = listener.accept().await.unwrap();
                let state = Arc::clone(&state);
                let service = service_fn(move |request| serve(Arc::clone(&state), request));
                let http = hyper::server::conn::http1::Builder::new();
                tokio::spawn(http.serve_connection(TokioIo::new(connection), service));
            }
        });
        server
    }

    /// What makes a function use it.
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        vec![
            ("PAYMENT_PROVIDER", "stripe".to_owned()),
            ("STRIPE_SECRET_KEY", Self::SECRET_KEY.to_owned()),
            ("STRIPE_WEBHOOK_SECRET", Self::WEBHOOK_SECRET.to_owned()),
            ("STRIPE_API_URL", self.url.clone()),
        ]
    }

    /// The customer pays, or what their bank has processed arrives. False if the intent is paid or cancelled already.
    pub fn pay(&self, client_secret: &str) -> bool {
        let mut state = self.state();
        let mut intents = state.intents.iter_mut();
        let intent = intents.find(|intent| intent.state.client_secret == client_secret);
        let intent = intent.expect("the secret is that of an intent");
        let is_payable = matches!(intent.state.status.as_str(), OPEN | PROCESSING);
        if is_payable {
            intent.state.status = SUCCEEDED.to_owned();
        }
        is_payable
    }

    /// The customer's bank takes its time with a payment, or refuses it in the end, so that another may be tried.
    pub fn set_processing(&self, intent: &str, on: bool) {
        let (from, to) = match on {
            true => (OPEN, PROCESSING),
            false => (PROCESSING, OPEN),
        };
        let mut state = self.state();
        let intent = state.known(intent);
        assert_eq!(intent.state.status, from, "{intent:?}");
        intent.state.status = to.to_owned();
    }

    /// Somebody gives all back in the provider's dashboard.
    pub fn refund_by_hand(&self, intent: &str) {
        let mut state = self.state();
        let intent = state.known(intent);
        assert_eq!(intent.state.status, SUCCEEDED, "{intent:?}");
        intent.give_back();
    }

    /// All intents, in the order of their making.
    pub fn intents(&self) -> Vec<IntentState> {
        let state = self.state();
        let intents = state.intents.iter().map(|intent| intent.state.clone());
        intents.collect()
    }

    pub fn intent(&self, id: &str) -> IntentState {
        self.state().known(id).state.clone()
    }

    /// How many requests have reached it.
    pub fn requests(&self) -> usize {
        self.state().requests
    }

    /// An event about an intent as it is now, or about its charge if the kind begins with `charge.`. Each is a new one.
    pub fn event(&self, kind: &str, intent: &str) -> Vec<u8> {
        let mut state = self.state();
        state.events += 1;
        let id = format!("evt_{:024}", state.events);
        let intent = state.known(intent);
        let object = match kind.starts_with("charge.") {
            true => intent.charge(),
            false => intent.json(),
        };
        let event = json!({
            "id": id,
            "object": "event",
            "api_version": VERSION,
            "created": 1_700_000_000,
            "data": {"object": object},
            "livemode": false,
            "pending_webhooks": 1,
            "request": {"id": null, "idempotency_key": null},
            "type": kind,
        });
        event.to_string().into_bytes()
    }

    /// The value of the header `Stripe-Signature`, made at this second.
    pub fn signature(&self, body: &[u8], at: i64) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, Self::WEBHOOK_SECRET.as_bytes());
        let signed = [format!("{at}.").as_bytes(), body].concat();
        let tag = hmac::sign(&key, &signed);
        let hex: String = tag.as_ref().iter().map(|b| format!("{b:02x}")).collect();
        format!("t={at},v1={hex}")
    }

    /// Puts these faults around the requests that it gets from now on, or takes them away. In a schedule they are
    /// `Stripe.create`, `Stripe.read`, `Stripe.cancel` and `Stripe.refund`.
    pub fn set_faults(&self, faults: Option<Faults>) {
        self.state().faults = faults;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

/// Answers a request, unless a fault gets in the way. After an error nothing is answered, and the connection is closed.
async fn serve(
    state: Arc<Mutex<State>>,
    request: Request<Incoming>,
) -> io::Result<Response<Full<Bytes>>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let reply = || state.lock().unwrap().reply(&head, &body);
    let lost = || io::Error::other("the connection broke");
    let faults = state.lock().unwrap().faults.clone();
    let Some(faults) = faults else {
        return Ok(respond(reply()));
    };
    match faults.next(operation(&head).to_owned()) {
        Fault::None => Ok(respond(reply())),
        Fault::DiesBefore => faults.die().await,
        Fault::Unreachable => Err(lost()),
        Fault::DiesAfter => {
            reply();
            faults.die().await
        }
        Fault::AnswerLost => {
            reply();
            Err(lost())
        }
    }
}

/// What a request is called in a schedule of faults.
fn operation(head: &Parts) -> &'static str {
    let path = head.uri.path();
    match head.method.as_str() {
        "GET" => "Stripe.read",
        _ if path.ends_with("/cancel") => "Stripe.cancel",
        _ if path.ends_with("/refunds") => "Stripe.refund",
        _ => "Stripe.create",
    }
}

/// A status and a body.
type Reply = (u16, Value);

type Form = BTreeMap<String, String>;

fn respond((status, body): Reply) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body.to_string()));
    *response.status_mut() = status.try_into().unwrap();
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

#[derive(Debug, Default)]
struct State {
    intents: Vec<Intent>,
    /// By idempotency key: the path and the form that came with it first, and what was replied.
    replies: BTreeMap<String, ((String, Form), Reply)>,
    requests: usize,
    events: usize,
    faults: Option<Faults>,
}

impl State {
    fn find(&mut self, id: &str) -> Option<&mut Intent> {
        self.intents.iter_mut().find(|intent| intent.state.id == id)
    }

    fn known(&mut self, id: &str) -> &mut Intent {
        let found = self.find(id);
        found.unwrap_or_else(|| panic!("{id} is no intent"))
    }

    fn reply(&mut self, head: &Parts, body: &[u8]) -> Reply {
        self.requests += 1;
        let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
        let bearer = format!("Bearer {}", StripeServer::SECRET_KEY);
        if header("authorization") != Some(bearer.as_str()) {
            return refusal(401, None, "Invalid API Key provided.");
        }
        if header("stripe-version") != Some(VERSION) {
            return refusal(400, None, "Invalid Stripe API version.");
        }
        let path: Vec<_> = head.uri.path().split('/').collect();
        match (head.method.as_str(), path.as_slice()) {
            ("GET", ["", "v1", "payment_intents", id]) => match self.find(id) {
                Some(intent) => (200, intent.json()),
                None => no_intent(id),
            },
            ("POST", ["", "v1", path @ ..]) => {
                if header("content-type") != Some("application/x-www-form-urlencoded") {
                    return refusal(400, None, "Invalid request: this is no form.");
                }
                let form = form_urlencoded::parse(body).into_owned().collect();
                self.post(path, header("idempotency-key"), form)
            }
            _ => no_route(),
        }
    }

    /// Does what it is asked, once for each key. What was refused for its parameters was never begun, and so its key is
    /// not used (<https://docs.stripe.com/api/idempotent_requests>).
    fn post(&mut self, path: &[&str], key: Option<&str>, form: Form) -> Reply {
        let asked = (path.join("/"), form);
        if let Some((before, reply)) = key.and_then(|key| self.replies.get(key)) {
            if *before == asked {
                return reply.clone();
            }
            let message = "Keys for idempotent requests can only be used with the same parameters.";
            let (status, mut body) = refusal(400, None, message);
            body["error"]["type"] = json!("idempotency_error");
            return (status, body);
        }
        let done = match path {
            ["payment_intents"] => self.create(&asked.1),
            ["payment_intents", id, "cancel"] => self.cancel(id, &asked.1),
            ["refunds"] => self.refund(&asked.1),
            _ => Err(no_route()),
        };
        match (done, key) {
            (Ok(reply), Some(key)) => {
                self.replies.insert(key.to_owned(), (asked, reply.clone()));
                reply
            }
            (Ok(reply), None) | (Err(reply), _) => reply,
        }
    }

    fn create(&mut self, form: &Form) -> Result<Reply, Reply> {
        check_names(form, &["amount", "currency", "metadata"])?;
        let amount = form.get("amount").and_then(|text| text.parse::<i64>().ok());
        let amount = amount.ok_or_else(|| refused("parameter_invalid_integer"))?;
        if amount < LEAST {
            return Err(refused("amount_too_small"));
        }
        if amount > MOST {
            return Err(refused("amount_too_large"));
        }
        let is_currency = |text: &&String| {
            let is_small = text.bytes().all(|byte| byte.is_ascii_lowercase());
            text.len() == 3 && is_small
        };
        let currency = form.get("currency").filter(is_currency);
        let currency = currency.ok_or_else(|| refused("parameter_invalid"))?;
        let metadata = form.iter().filter_map(|(name, value)| {
            let name = name.strip_prefix("metadata[")?.strip_suffix(']')?;
            Some((name.to_owned(), value.clone()))
        });
        let metadata: Form = metadata.collect();
        let number = format!("{:024}", self.intents.len() + 1);
        let intent = Intent {
            state: IntentState {
                id: format!("pi_{number}"),
                status: OPEN.to_owned(),
                amount,
                currency: currency.clone(),
                client_secret: format!("pi_{number}_secret_hush"),
                order_id: metadata.get("order_id").and_then(|id| id.parse().ok()),
                refunded: 0,
                refunds: 0,
            },
            metadata,
            number,
        };
        let made = (200, intent.json());
        self.intents.push(intent);
        Ok(made)
    }

    fn cancel(&mut self, id: &str, form: &Form) -> Result<Reply, Reply> {
        check_names(form, &[])?;
        let intent = self.find(id).ok_or_else(|| no_intent(id))?;
        if intent.state.status == OPEN {
            intent.state.status = CANCELED.to_owned();
            return Ok((200, intent.json()));
        }
        let (status, mut body) = refused("payment_intent_unexpected_state");
        // The whole intent, with its secret.
        body["error"]["payment_intent"] = intent.json();
        Ok((status, body))
    }

    fn refund(&mut self, form: &Form) -> Result<Reply, Reply> {
        check_names(form, &["payment_intent"])?;
        let id = form.get("payment_intent");
        let id = id.ok_or_else(|| refused("parameter_missing"))?;
        let intent = self.find(id).ok_or_else(|| no_intent(id))?;
        if intent.state.status != SUCCEEDED {
            let message = "This PaymentIntent does not have a successful charge to refund.";
            return Ok(refusal(400, None, message));
        }
        if intent.state.refunded == intent.state.amount {
            return Ok(refused("charge_already_refunded"));
        }
        intent.give_back();
        let refund = json!({
            "id": format!("re_{}", intent.number),
            "object": "refund",
            "amount": intent.state.amount,
            "charge": intent.charge_id(),
            "currency": intent.state.currency,
            "payment_intent": intent.state.id,
            "status": "succeeded",
        });
        Ok((200, refund))
    }
}

#[derive(Debug)]
struct Intent {
    state: IntentState,
    metadata: Form,
    /// What its id ends with, and the ids of what belongs to it.
    number: String,
}

impl Intent {
    fn is_paid(&self) -> bool {
        self.state.status == SUCCEEDED
    }

    fn charge_id(&self) -> Option<String> {
        self.is_paid().then(|| format!("ch_{}", self.number))
    }

    fn give_back(&mut self) {
        self.state.refunded = self.state.amount;
        self.state.refunds += 1;
    }

    fn json(&self) -> Value {
        let amount = self.state.amount;
        let received = match self.is_paid() {
            true => amount,
            false => 0,
        };
        json!({
            "id": self.state.id,
            "object": "payment_intent",
            "amount": amount,
            "amount_received": received,
            "automatic_payment_methods": {"allow_redirects": "always", "enabled": true},
            "capture_method": "automatic_async",
            "client_secret": self.state.client_secret,
            "created": 1_700_000_000,
            "currency": self.state.currency,
            "description": null,
            "latest_charge": self.charge_id(),
            "livemode": false,
            "metadata": self.metadata,
            "status": self.state.status,
        })
    }

    fn charge(&self) -> Value {
        let IntentState {
            amount, refunded, ..
        } = &self.state;
        json!({
            "id": self.charge_id(),
            "object": "charge",
            "amount": amount,
            "amount_captured": amount,
            "amount_refunded": refunded,
            "captured": true,
            "currency": self.state.currency,
            "livemode": false,
            "metadata": self.metadata,
            "paid": self.is_paid(),
            "payment_intent": self.state.id,
            "refunded": refunded == amount,
            "status": "succeeded",
        })
    }
}

/// Refuses what the API does not know, as `metadata[a]` if `metadata` is not among the names.
fn check_names(form: &Form, names: &[&str]) -> Result<(), Reply> {
    let is_known = |name: &String| {
        let outer = name.split('[').next();
        outer.is_some_and(|outer| names.contains(&outer))
    };
    match form.keys().all(is_known) {
        true => Ok(()),
        false => Err(refused("parameter_unknown")),
    }
}

fn refusal(status: u16, code: Option<&str>, message: &str) -> Reply {
    let error = json!({"type": "invalid_request_error", "code": code, "message": message});
    (status, json!({"error": error}))
}

fn refused(code: &str) -> Reply {
    refusal(400, Some(code), "This cannot be done.")
}

fn no_intent(id: &str) -> Reply {
    let message = format!("No such payment_intent: '{id}'");
    refusal(404, Some("resource_missing"), &message)
}

fn no_route() -> Reply {
    refusal(404, None, "Unrecognized request URL.")
}
