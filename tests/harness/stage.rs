//! A bundle for one test.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

use lambda_http::aws_lambda_events::sqs::{SqsEvent, SqsMessage};
use local::aws::{LocalAws, Ports, Storage};
use local::provision;
use local::template::Template;
use serde_json::Value;
use shared::auth::SigningKeys;
use shared::{App, Config};

use crate::{Actor, Answer, Gateway};

/// The password of every actor.
pub const PASSWORD: &str = "Correct-horse-7";

static AWS: LazyLock<LocalAws> =
    LazyLock::new(|| LocalAws::start(Storage::Memory, Ports::Any).expect("the local AWS starts"));

static TEMPLATE: LazyLock<Template> = LazyLock::new(|| {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../template.yaml");
    Template::read(&root).expect("template.yaml can be read")
});

static NEXT: AtomicU32 = AtomicU32::new(1);

pub fn template() -> &'static Template {
    &TEMPLATE
}

/// A bundle of functions with tables and a queue of its own.
pub struct Stage {
    pub app: App,
    gateway: Gateway,
    sqs: aws_sdk_sqs::Client,
}

impl Stage {
    pub async fn new() -> Self {
        Self::with(&[]).await
    }

    /// A bundle with some variables set differently.
    pub async fn with(variables: &[(&str, &str)]) -> Self {
        let prefix = format!("t{}-", NEXT.fetch_add(1, Ordering::Relaxed));
        let tables = provision::create_tables(AWS.dynamodb_url(), &TEMPLATE, &prefix);
        let tables = tables.await.expect("the tables can be made");
        let queues = provision::create_queues(AWS.sqs_url(), &TEMPLATE, &prefix);
        let queues = queues.await.expect("the queues can be made");
        let defaults = [
            ("ENVIRONMENT", "test"),
            ("PUBLIC_URL", "https://api.example.com"),
            ("AWS_REGION", local::aws::REGION),
            ("AWS_ACCESS_KEY_ID", local::aws::ACCESS_KEY_ID),
            ("AWS_SECRET_ACCESS_KEY", local::aws::SECRET_ACCESS_KEY),
            ("AWS_ENDPOINT_URL_DYNAMODB", AWS.dynamodb_url()),
            ("AWS_ENDPOINT_URL_SQS", AWS.sqs_url()),
            ("APP_TABLE", &tables["AppTable"]),
            ("VAULT_TABLE", &tables["VaultTable"]),
            ("TASK_QUEUE_URL", &queues["TaskQueue"]),
            ("RATE_LIMIT_PER_MINUTE", "6000"),
            ("REGISTER_LIMIT_PER_HOUR", "1000"),
            ("LOGIN_LIMIT_PER_MINUTE", "1000"),
        ];
        let config = Config::from_lookup(|name| {
            let found = variables.iter().chain(&defaults).find(|(n, _)| *n == name);
            found.map(|(_, value)| (*value).to_owned())
        });
        let app = App::new(config.expect("the configuration is right")).expect("the app starts");
        let keys = SigningKeys::derive("the secret of the tests, known to all").unwrap();
        app.sign_with(keys).await.expect("the keys can be published");
        Self {
            gateway: Gateway::new(bundle(&app)),
            sqs: local::aws::sqs_client(AWS.sqs_url()),
            app,
        }
    }

    /// Somebody who is not signed in, from an address of their own.
    pub fn anon(&self) -> Actor<'_> {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let [_, b, c, d] = number.to_be_bytes();
        Actor::anonymous(self, format!("10.{b}.{c}.{d}"))
    }

    /// Somebody who has registered and logged in.
    pub async fn user(&self) -> Actor<'_> {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        self.anon().register(&format!("user{number}@example.com")).await
    }

    /// The first superuser, made as `cargo dev` makes it, logged in.
    pub async fn admin(&self) -> Actor<'_> {
        let email = "admin@example.com";
        local::superuser::ensure(&self.app, email, PASSWORD).await.expect("a superuser");
        self.anon().log_in(email, PASSWORD).await
    }

    /// A request as the event that API Gateway sends for it.
    pub async fn send(&self, event: &Value) -> Answer {
        Answer::of(self.gateway.send(&TEMPLATE, event).await).await
    }

    /// A request to one function, whatever its path.
    pub async fn send_to(&self, function: &str, event: &Value) -> Answer {
        Answer::of(self.gateway.send_to(function, event).await).await
    }

    /// Gives all messages of the task queue to the worker, as the event source mapping does: in batches, and
    /// deleting those that the worker does not name as failed. Answers how many succeeded and failed.
    pub async fn work(&self) -> (usize, usize) {
        let url = &self.app.config.task_queue_url;
        let (mut succeeded, mut failed) = (0, 0);
        loop {
            let batch = self.sqs.receive_message().queue_url(url);
            let batch = batch.max_number_of_messages(10).wait_time_seconds(0);
            let messages = batch.send().await.unwrap().messages.unwrap_or_default();
            if messages.is_empty() {
                return (succeeded, failed);
            }
            let records = messages.iter().map(|message| {
                let mut record = SqsMessage::default();
                record.message_id = message.message_id.clone();
                record.body = message.body.clone();
                record
            });
            let mut event = SqsEvent::default();
            event.records = records.collect();
            let response = worker::handle(self.app.clone(), event).await;
            let failures = response.batch_item_failures;
            for message in messages {
                let id = message.message_id.unwrap();
                if failures.iter().any(|failure| failure.item_identifier == id) {
                    failed += 1;
                    continue;
                }
                let delete = self.sqs.delete_message().queue_url(url);
                let delete = delete.set_receipt_handle(message.receipt_handle);
                delete.send().await.unwrap();
                succeeded += 1;
            }
        }
    }

    /// Puts a message into the task queue, as a schedule or a stranger would.
    pub async fn post_message(&self, body: &str) {
        let request = self.sqs.send_message().message_body(body);
        let request = request.queue_url(&self.app.config.task_queue_url);
        request.send().await.unwrap();
    }

    /// Every item of both tables, for what must not be there.
    pub async fn all_items(&self) -> Vec<String> {
        let dynamodb = local::aws::dynamodb_client(AWS.dynamodb_url());
        let vault = self.app.config.vault_table.clone().unwrap();
        let mut items = Vec::new();
        for table in [self.app.config.app_table.clone(), vault] {
            let page = dynamodb.scan().table_name(table).send().await.unwrap();
            assert!(page.last_evaluated_key.is_none(), "more than a page of items");
            items.extend(page.items().iter().map(|item| format!("{item:?}")));
        }
        items
    }
}

/// The router of each function that answers HTTP, by its name.
pub fn bundle(app: &App) -> BTreeMap<String, axum::Router> {
    let routers = [
        ("auth", auth::router()),
        ("users", users::router()),
        ("system", system::router()),
        ("docs", docs::router()),
    ];
    let wrapped = routers.map(|(name, router)| {
        let router = shared::http::wrap(app.clone(), router);
        (name.to_owned(), router)
    });
    wrapped.into_iter().collect()
}
