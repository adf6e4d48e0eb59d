//! What Stripe tells by itself: <https://docs.stripe.com/webhooks>.
//!
//! Anybody can send such a thing, so nothing of it is read before its signature is checked. An event may come late, and
//! again: that is for those to know who act on it.

use ring::hmac;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::stripe::{Intent, Metadata, OrderRef};
use crate::config::Hidden;
use crate::error::{Error, Result};
use crate::models::money::Money;

/// How far the time of a signature may be from ours, in seconds.
const TOLERANCE: u64 = 300;

/// How many signatures are looked at. While a secret is being replaced there are two; each costs a hash of the body.
const MOST_SIGNATURES: usize = 5;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Paid(Intent),
    Refunded(Refund),
    /// One of the many kinds that change nothing here.
    Other,
}

/// A payment of which all was given back, by us or by hand. If it was only a part, the event is [`Event::Other`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refund {
    pub intent_id: String,
    pub amount: Money,
    /// In capitals.
    pub currency: String,
    /// Stripe copies what an intent was told of its order to what it charges.
    pub order: Option<OrderRef>,
}

/// Reads an event of which `header` holds a signature with our secret, made at most five minutes from `now`, in seconds
/// since the epoch. Else 400 `invalid_signature`.
pub fn read(secret: &Hidden, header: Option<&str>, body: &[u8], now: i64) -> Result<Event> {
    match is_signed(secret, header.unwrap_or_default(), body, now) {
        true => parse(body).map_err(|_| Error::MalformedBody("a JSON event")),
        false => Err(Error::InvalidSignature),
    }
}

/// Whether a header like `t=1614556828,v1=5257a8…,v1=…` vouches for the body. Schemes other than `v1` do not count.
fn is_signed(secret: &Hidden, header: &str, body: &[u8], now: i64) -> bool {
    let parts = header.split(',').filter_map(|part| part.split_once('='));
    let parts: Vec<_> = parts.collect();
    let named = |wanted: &'static str| {
        let found = parts.iter().filter(move |(name, _)| *name == wanted);
        found.map(|(_, value)| *value)
    };
    let Some(time) = named("t").next() else {
        return false;
    };
    let distance = time.parse::<i64>().map(|time| now.abs_diff(time));
    if !distance.is_ok_and(|seconds| seconds <= TOLERANCE) {
        return false;
    }
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.reveal().as_bytes());
    let signed = [time.as_bytes(), b".", body].concat();
    let mut signatures = named("v1").take(MOST_SIGNATURES).filter_map(from_hex);
    signatures.any(|signature| hmac::verify(&key, &signed, &signature).is_ok())
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let bytes = text.as_bytes().chunks(2).map(|pair| match *pair {
        [high, low] => u8::try_from(digit(high)? * 16 + digit(low)?).ok(),
        _ => None,
    });
    bytes.collect()
}

#[derive(Deserialize)]
struct KindJson {
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct EventJson<T> {
    data: DataJson<T>,
}

#[derive(Deserialize)]
struct DataJson<T> {
    object: T,
}

#[derive(Deserialize)]
struct ChargeJson {
    amount: i64,
    amount_refunded: i64,
    refunded: bool,
    currency: String,
    payment_intent: Option<String>,
    metadata: Option<Metadata>,
}

/// What an event is about has a form of its own with each kind, so the kind is read first.
fn parse(body: &[u8]) -> serde_json::Result<Event> {
    let KindJson { kind } = serde_json::from_slice(body)?;
    match kind.as_str() {
        "payment_intent.succeeded" => object_of(body).map(Event::Paid),
        "charge.refunded" => object_of(body).map(|charge: ChargeJson| {
            let whole = charge.refund();
            whole.map_or(Event::Other, Event::Refunded)
        }),
        _ => Ok(Event::Other),
    }
}

fn object_of<T: DeserializeOwned>(body: &[u8]) -> serde_json::Result<T> {
    let event: EventJson<T> = serde_json::from_slice(body)?;
    Ok(event.data.object)
}

impl ChargeJson {
    /// The refund, if nothing is left of the charge. One without an intent is none of ours.
    fn refund(self) -> Option<Refund> {
        let is_whole = self.refunded && self.amount_refunded == self.amount;
        Some(Refund {
            intent_id: self.payment_intent.filter(|_| is_whole)?,
            amount: Money::from_minor(self.amount_refunded),
            currency: self.currency.to_ascii_uppercase(),
            order: self.metadata.unwrap_or_default().order(),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use uuid::Uuid;

    use super::super::stripe::IntentStatus;
    use super::*;

    const SECRET: &str = "whsec_hush";
    const NOW: i64 = 1_700_000_000;
    const BODY: &str = r#"{"type": "customer.created"}"#;

    fn sign(secret: &str, time: &str, body: &str) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let tag = hmac::sign(&key, format!("{time}.{body}").as_bytes());
        let bytes = tag.as_ref().iter();
        bytes.map(|byte| format!("{byte:02x}")).collect()
    }

    fn read_signed(body: &str) -> Result<Event> {
        let time = NOW.to_string();
        let header = format!("t={time},v1={}", sign(SECRET, &time, body));
        read(&Hidden::new(SECRET), Some(&header), body.as_bytes(), NOW)
    }

    /// As another program has computed it.
    #[test]
    fn a_signature_of_others() {
        let header =
            "t=1700000000,v1=4bec1797ea3abbed2acbc00011b09eb974b4e92fb9be2d0df8ac8d1c18e4f79d";
        let event = read(&Hidden::new(SECRET), Some(header), BODY.as_bytes(), NOW);
        assert_eq!(event.unwrap(), Event::Other);
    }

    #[test]
    fn who_has_no_signature_is_not_heard() {
        let time = NOW.to_string();
        let good = sign(SECRET, &time, BODY);
        let upper = good.to_uppercase();
        let bad = sign("whsec_other", &time, BODY);
        let of_other_body = sign(SECRET, &time, "{}");
        let of_other_time = sign(SECRET, "1700000001", BODY);
        let many = format!("v1={bad},").repeat(MOST_SIGNATURES - 1);
        let too_many = format!("v1={bad},").repeat(MOST_SIGNATURES);
        for (header, is_good) in [
            (format!("t={time},v1={good}"), true),
            (format!("v1={good},t={time}"), true),
            (format!("t={time},v1={upper}"), true),
            (format!("t={time},v1={bad},v1={good}"), true),
            (format!("t={time},v1={good},v1={bad}"), true),
            (format!("t={time},{many}v1={good}"), true),
            (format!("t={time},{too_many}v1={good}"), false),
            (format!("t={time},v0={bad},v1={good},v2=,more"), true),
            (format!("t={time},v1=,v1=xyz,v1=+f,v1=ä,v1={good}"), true),
            (format!("t={time},v1={bad}"), false),
            (format!("t={time},v1={of_other_body}"), false),
            (format!("t={time},v1={of_other_time}"), false),
            (format!("t={time},v0={good}"), false),
            (format!("t={time},V1={good}"), false),
            (format!("t={time},v1={good}00"), false),
            (format!("t={time},v1={}", &good[..62]), false),
            (format!("t={time},v1={}", &good[..63]), false),
            (format!("t={time},v1=g{}", &good[1..]), false),
            (format!("t={time},v1="), false),
            (format!("t={time}"), false),
            (format!("v1={good}"), false),
            (format!("t=,v1={good}"), false),
            (format!("t={time};v1={good}"), false),
            (good.clone(), false),
            (",=,".to_owned(), false),
            (String::new(), false),
        ] {
            let event = read(&Hidden::new(SECRET), Some(&header), BODY.as_bytes(), NOW);
            let expected = match is_good {
                true => matches!(event, Ok(Event::Other)),
                false => matches!(event, Err(Error::InvalidSignature)),
            };
            assert!(expected, "{header}: {event:?}");
        }
        let event = read(&Hidden::new(SECRET), None, BODY.as_bytes(), NOW);
        assert!(matches!(event, Err(Error::InvalidSignature)), "{event:?}");
    }

    #[test]
    fn a_signature_is_good_for_five_minutes() {
        for (time, is_good) in [
            (NOW.to_string(), true),
            ((NOW - 300).to_string(), true),
            ((NOW + 300).to_string(), true),
            ((NOW - 301).to_string(), false),
            ((NOW + 301).to_string(), false),
            ("0".to_owned(), false),
            ((-NOW).to_string(), false),
            (i64::MAX.to_string(), false),
            (i64::MIN.to_string(), false),
            ("99999999999999999999".to_owned(), false),
            ("now".to_owned(), false),
            (String::new(), false),
        ] {
            let header = format!("t={time},v1={}", sign(SECRET, &time, BODY));
            let event = read(&Hidden::new(SECRET), Some(&header), BODY.as_bytes(), NOW);
            assert_eq!(event.is_ok(), is_good, "{time}");
        }
    }

    #[test]
    fn what_is_signed_and_no_event() {
        for body in [
            "",
            "hello",
            "[]",
            "{}",
            r#"{"type": 7}"#,
            r#"{"type": "payment_intent.succeeded"}"#,
            r#"{"type": "payment_intent.succeeded", "data": {"object": {"id": "pi_1"}}}"#,
            r#"{"type": "charge.refunded", "data": {"object": null}}"#,
        ] {
            let event = read_signed(body);
            assert!(matches!(event, Err(Error::MalformedBody(_))), "{body}");
        }
    }

    fn order() -> OrderRef {
        OrderRef {
            user_id: Uuid::from_u128(2),
            order_id: Uuid::from_u128(1),
        }
    }

    fn event(kind: &str, object: Value) -> Event {
        let body = json!({
            "id": "evt_1", "object": "event", "api_version": "2024-06-20", "type": kind, "data": {"object": object},
        });
        read_signed(&body.to_string()).unwrap()
    }

    #[test]
    fn a_payment() {
        let intent = json!({
            "id": "pi_1", "object": "payment_intent", "status": "succeeded", "amount": 4_758,
            "amount_received": 4_758, "currency": "eur", "client_secret": "pi_1_secret_hush",
            "metadata": {"order_id": order().order_id, "user_id": order().user_id},
        });
        let paid = Event::Paid(Intent {
            id: "pi_1".to_owned(),
            status: IntentStatus::Succeeded,
            amount: Money::from_minor(4_758),
            currency: "EUR".to_owned(),
            client_secret: Some(Hidden::new("pi_1_secret_hush")),
            order: Some(order()),
        });
        assert_eq!(event("payment_intent.succeeded", intent.clone()), paid);
        for kind in [
            "payment_intent.created",
            "payment_intent.canceled",
            "payment_intent.payment_failed",
            "payment_intent.succeeded.late",
            "charge.succeeded",
        ] {
            assert_eq!(event(kind, intent.clone()), Event::Other, "{kind}");
        }
        // Some kinds have no data.
        let thin = r#"{"type": "v1.billing.meter.no_meter_found"}"#;
        assert_eq!(read_signed(thin).unwrap(), Event::Other);
    }

    #[test]
    fn a_refund_of_all() {
        let charge = |fields: Value| {
            let mut charge = json!({
                "id": "ch_1", "object": "charge", "amount": 4_758, "amount_refunded": 4_758, "refunded": true,
                "currency": "eur", "payment_intent": "pi_1",
                "metadata": {"order_id": order().order_id, "user_id": order().user_id},
            });
            let fields = fields.as_object().unwrap().clone();
            charge.as_object_mut().unwrap().extend(fields);
            event("charge.refunded", charge)
        };
        let refund = Refund {
            intent_id: "pi_1".to_owned(),
            amount: Money::from_minor(4_758),
            currency: "EUR".to_owned(),
            order: Some(order()),
        };
        assert_eq!(charge(json!({})), Event::Refunded(refund.clone()));
        let of_nobody = Refund {
            order: None,
            ..refund
        };
        for metadata in [json!({}), json!(null), json!({"order_id": "1047"})] {
            let found = charge(json!({"metadata": metadata}));
            assert_eq!(found, Event::Refunded(of_nobody.clone()), "{metadata}");
        }
        for fields in [
            json!({"refunded": false, "amount_refunded": 100}),
            json!({"refunded": false}),
            json!({"amount_refunded": 4_757}),
            json!({"payment_intent": null}),
        ] {
            assert_eq!(charge(fields.clone()), Event::Other, "{fields}");
        }
    }
}
