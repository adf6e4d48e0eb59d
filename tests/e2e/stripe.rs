//! localstripe from PyPI, which plays Stripe for many projects and knows nothing of us, takes payments for orders.

use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::Mail;
use url::form_urlencoded;

use crate::bundle::{Answer, Bundle, PASSWORD, free_ports};
use crate::python;

const PACKAGES: &str = "localstripe==1.15.10 aiohttp==3.14.5";

/// Its own start would listen to the whole network, and keep what it knows in a file of this machine.
const SCRIPT: &str = r#"
import sys
from aiohttp import web
from localstripe import resources, server

resources.Store.dump_to_disk = lambda store: None
web.run_app(server.app, host="127.0.0.1", port=int(sys.argv[1]), print=None)
"#;

const SECRET_KEY: &str = "sk_test_hush";
const WEBHOOK_SECRET: &str = "whsec_hush";

/// How long an order waits to be paid, in seconds: long enough for a payment to be told of before.
const DUE: &str = "12";

/// The bundle of the other stories takes no payments, so this one starts another.
pub(crate) fn a_customer_pays_with_stripe(_: &Bundle) {
    let folder = tempfile::tempdir().unwrap();
    let stripe = LocalStripe::start();
    let api_url = stripe.url("");
    let variables = [
        ("PAYMENT_PROVIDER", "stripe"),
        ("STRIPE_SECRET_KEY", SECRET_KEY),
        ("STRIPE_WEBHOOK_SECRET", WEBHOOK_SECRET),
        ("STRIPE_API_URL", api_url.as_str()),
        ("ORDER_DUE_SECONDS", DUE),
    ];
    let bundle = Bundle::with(folder.path(), &variables);
    bundle.start();
    stripe.tell(&bundle.url("/api/v1/payments/webhook"));
    let item =
        json!({"title": "Orrery", "price": 19.99, "tax": 19, "stock": 5, "status": "active"});
    let seller = register(&bundle, "grace@example.com");
    let item = bundle.send("POST", "/api/v1/items", Some(&seller), Some(item));
    let shop = Shop {
        item: text(&item.expect(201)["id"]),
        seller,
        buyer: register(&bundle, "ada@example.com"),
        bundle,
        stripe,
    };

    let first = shop.order(2);
    let secret = shop.client_secret(&first);
    assert_eq!(shop.client_secret(&first), secret);
    let intent = intent_of(&secret);
    let asked = shop.stripe.intent(&intent);
    // Twice 19.99 with 19 % of tax is 47.5762.
    assert_eq!(
        (&asked["amount"], &asked["currency"]),
        (&json!(4758), &json!("eur"))
    );
    assert_eq!(asked["metadata"]["order_id"], json!(first));
    shop.stripe.pay(&intent).expect(200);
    shop.wait("the payment is told of", || {
        shop.status(&first) != "pending"
    });
    assert_eq!(shop.status(&first), "paid");

    // From now on payments are told to nobody.
    shop.stripe.tell(&shop.bundle.url("/nowhere"));
    let second = shop.order(1);
    let second_intent = intent_of(&shop.client_secret(&second));
    let path = format!("/api/v1/orders/{second}/cancel");
    let cancelled = shop.bundle.send("POST", &path, Some(&shop.buyer), None);
    assert_eq!(cancelled.expect(200)["status"], "cancelled");
    shop.wait("the cancelled order's intent is cancelled", || {
        shop.stripe.intent(&second_intent)["status"] == "canceled"
    });
    shop.stripe.pay(&second_intent).expect(400);

    let unpaid = shop.order(1);
    let unpaid_intent = intent_of(&shop.client_secret(&unpaid));
    let untold = shop.order(1);
    let untold_intent = intent_of(&shop.client_secret(&untold));
    shop.stripe.pay(&untold_intent).expect(200);

    shop.wait("the paid order is processed", || {
        shop.status(&first) == "processed"
    });
    shop.wait("its mail is there", || shop.mails(&first) == 1);
    shop.wait(
        "the order is processed of whose payment nobody told",
        || shop.status(&untold) == "processed",
    );
    shop.wait("its mail is there", || shop.mails(&untold) == 1);
    shop.wait("the order is cancelled that nobody pays", || {
        shop.status(&unpaid) == "cancelled"
    });
    assert_eq!(shop.stripe.intent(&unpaid_intent)["status"], "canceled");
    assert_eq!(shop.stock(), [json!(5), json!(3), json!(2)]);

    let path = format!("/api/v1/orders/{first}/refund");
    let admin = shop.bundle.log_in();
    let refunded = shop.bundle.send("POST", &path, Some(&admin), None);
    assert_eq!(refunded.expect(200)["status"], "refunded");
    shop.wait("the money is given back", || {
        shop.read(&first)["payment"]["status"] == "refunded"
    });
    let refunds = shop.stripe.refunds(&intent);
    assert_eq!(refunds.len(), 1, "{refunds:?}");
    assert_eq!(refunds[0]["amount"], 4758);
    assert!(shop.stripe.refunds(&untold_intent).is_empty());
    assert_eq!(shop.stock(), [json!(5), json!(1), json!(4)]);
    assert_eq!(shop.mails(&first) + shop.mails(&untold), 2);
    assert!(
        !shop.bundle.output().contains("_secret_"),
        "a secret is in the log"
    );
    shop.bundle.stop();
}

/// Registers somebody and answers their token.
fn register(bundle: &Bundle, email: &str) -> String {
    let account = json!({"email": email, "password": PASSWORD});
    bundle
        .post("/api/v1/auth/register", account.clone())
        .expect(201);
    text(&bundle.post("/api/v1/auth/login", account).expect(200)["access_token"])
}

/// A client secret begins with what it is the secret of.
fn intent_of(client_secret: &str) -> String {
    let (intent, _) = client_secret.split_once("_secret_").unwrap();
    intent.to_owned()
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .unwrap_or_else(|| panic!("{value}"))
        .to_owned()
}

/// One item, and the tokens of who sells and who buys it.
struct Shop {
    bundle: Bundle,
    stripe: LocalStripe,
    item: String,
    seller: String,
    buyer: String,
}

impl Shop {
    /// Orders so many, and answers the order's id.
    fn order(&self, quantity: u8) -> String {
        let order = json!({"items": [{"id": self.item, "quantity": quantity}]});
        let buyer = Some(self.buyer.as_str());
        let placed = self
            .bundle
            .send("POST", "/api/v1/orders", buyer, Some(order));
        let placed = placed.expect(201);
        assert_eq!(placed["status"], "pending", "{placed}");
        assert_eq!(placed["payment"]["provider"], "stripe", "{placed}");
        text(&placed["id"])
    }

    fn read(&self, order: &str) -> Value {
        let path = format!("/api/v1/orders/{order}");
        self.bundle.get(&path, Some(&self.buyer)).expect(200)
    }

    fn status(&self, order: &str) -> String {
        text(&self.read(order)["status"])
    }

    fn client_secret(&self, order: &str) -> String {
        let path = format!("/api/v1/orders/{order}/payment");
        let payment = self.bundle.send("POST", &path, Some(&self.buyer), None);
        text(&payment.expect(200)["client_secret"])
    }

    /// What is on hand, reserved, and available.
    fn stock(&self) -> [Value; 3] {
        let path = format!("/api/v1/items/{}", self.item);
        let item = self.bundle.get(&path, Some(&self.seller)).expect(200);
        ["stock", "reserved", "available"].map(|field| item[field].clone())
    }

    /// How many mails the buyer has about an order.
    fn mails(&self, order: &str) -> usize {
        let files = std::fs::read_dir(self.bundle.data.join("mail"));
        let paths = files.into_iter().flatten().map(|file| file.unwrap().path());
        let whole = paths.filter(|path| path.extension().is_some_and(|ending| ending == "eml"));
        let mails = whole.map(|path| Mail::parse(&std::fs::read(path).unwrap()));
        let mails = mails.filter(|mail| mail.to == "ada@example.com" && mail.text.contains(order));
        mails.count()
    }

    #[track_caller]
    fn wait(&self, what: &str, is_so: impl Fn() -> bool) {
        let started = Instant::now();
        while !is_so() {
            assert!(
                started.elapsed() < Duration::from_secs(60),
                "not yet: {what}\n{}",
                self.bundle.output()
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// A localstripe of this story's own, which ends with it.
struct LocalStripe {
    child: Child,
    port: u16,
}

impl LocalStripe {
    /// Starts it and waits until it listens.
    fn start() -> Self {
        let port = free_ports();
        let mut command = Command::new(python::with("localstripe", PACKAGES));
        command
            .args(["-c", SCRIPT, &port.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let child = command.spawn().expect("Python can be started");
        let mut server = Self { child, port };
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if let Some(status) = server.child.try_wait().unwrap() {
                panic!("{command:?} ended with {status}");
            }
            assert!(
                started.elapsed() < Duration::from_secs(30),
                "{command:?} does not listen"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        server
    }

    /// Sends events to this URL, and to no other any more.
    fn tell(&self, url: &str) {
        let form = [("url", url), ("secret", WEBHOOK_SECRET)];
        self.send("POST", "/_config/webhooks/house", &form)
            .expect(200);
    }

    fn intent(&self, id: &str) -> Value {
        let path = format!("/v1/payment_intents/{id}");
        self.send("GET", &path, &[]).expect(200)
    }

    /// Pays with a card, as Stripe's form does in the customer's browser.
    fn pay(&self, intent: &str) -> Answer {
        let path = format!("/v1/payment_intents/{intent}");
        let card = [("payment_method", "pm_card_visa")];
        self.send("POST", &path, &card).expect(200);
        self.send("POST", &format!("{path}/confirm"), &[])
    }

    fn refunds(&self, intent: &str) -> Vec<Value> {
        let path = format!("/v1/refunds?payment_intent={intent}");
        let refunds = self.send("GET", &path, &[]).expect(200);
        refunds["data"].as_array().unwrap().clone()
    }

    fn send(&self, method: &str, path: &str, form: &[(&str, &str)]) -> Answer {
        let form = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form)
            .finish();
        let agent = ureq::Agent::new_with_config(
            ureq::Agent::config_builder()
                .http_status_as_error(false)
                .timeout_global(Some(Duration::from_secs(60)))
                .build(),
        );
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(self.url(path))
            .header("authorization", format!("Bearer {SECRET_KEY}"))
            .header("content-type", "application/x-www-form-urlencoded");
        let mut response = agent.run(request.body(form).unwrap()).unwrap();
        let body = response.body_mut().read_to_string().unwrap();
        Answer {
            status: response.status().as_u16(),
            kind: String::new(),
            body: serde_json::from_str(&body).unwrap_or(Value::String(body)),
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }
}

impl Drop for LocalStripe {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
