//! A bundle for one test.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{LazyLock, Mutex};

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_sqs::types::QueueAttributeName;
use lambda_http::aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use local::aws::{LocalAws, Ports, Storage};
use local::template::Template;
use local::{provision, pump};
use serde_json::Value;
use shared::auth::SigningKeys;
use shared::bucket::Bucket;
use shared::store::keys;
use shared::{App, Config};
use utoipa_axum::router::OpenApiRouter;
use uuid::Uuid;
use worker::Worker;

use crate::{Actor, Answer, Gateway, permissions};

/// The password of every actor.
pub const PASSWORD: &str = "Correct-horse-7";

/// The secret of every bundle.
pub const SECRET: &str = "the secret of the tests, known to all";

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

/// Another S3 than the local one, which knows the key pair `test`.
#[expect(clippy::disallowed_methods, reason = "a test may be told what to do")]
static OTHER_S3: LazyLock<Option<String>> = LazyLock::new(|| std::env::var("S3_ENDPOINT").ok());

/// Whether the S3 takes nothing without a signature. Not all that are made for trying do so.
pub fn s3_wants_signatures() -> bool {
    OTHER_S3.is_none()
}

async fn create_bucket(app: &App) {
    let name = app.config.files_bucket.as_deref().unwrap();
    let Some(url) = OTHER_S3.as_deref() else {
        return AWS.create_bucket(name).expect("the bucket can be made");
    };
    let s3 = aws_sdk_s3::config::Builder::from(&app.sdk).force_path_style(true);
    let s3 = aws_sdk_s3::Client::from_conf(s3.endpoint_url(url).build());
    let made = s3.create_bucket().bucket(name).send().await;
    made.expect("the bucket can be made");
}

/// A bundle of functions with tables and a queue of its own.
pub struct Stage {
    pub app: App,
    variables: BTreeMap<String, String>,
    gateway: Gateway,
    worker: Worker,
    sqs: aws_sdk_sqs::Client,
    /// The receipt handles of messages that were delivered and not deleted.
    hidden: Mutex<Vec<String>>,
    dead_letters: String,
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
        // Other processes may use the same S3.
        let bucket = format!("{prefix}{}", Uuid::now_v7());
        let (s3, key_id, key) = match OTHER_S3.as_deref() {
            Some(url) => (url, "test", "test"),
            None => {
                let key_id = local::aws::ACCESS_KEY_ID;
                (AWS.s3_url(), key_id, local::aws::SECRET_ACCESS_KEY)
            }
        };
        let defaults = [
            ("ENVIRONMENT", "test"),
            ("PUBLIC_URL", "https://api.example.com"),
            ("AWS_REGION", local::aws::REGION),
            ("AWS_ACCESS_KEY_ID", key_id),
            ("AWS_SECRET_ACCESS_KEY", key),
            ("AWS_ENDPOINT_URL_DYNAMODB", AWS.dynamodb_url()),
            ("AWS_ENDPOINT_URL_SQS", AWS.sqs_url()),
            ("AUTH_SECRET", SECRET),
            ("APP_TABLE", &tables["AppTable"]),
            ("VAULT_TABLE", &tables["VaultTable"]),
            ("TASK_QUEUE_URL", &queues["TaskQueue"]),
            ("FILES_BUCKET", &bucket),
            ("AWS_ENDPOINT_URL_S3", s3),
            ("RATE_LIMIT_PER_MINUTE", "6000"),
            ("REGISTER_LIMIT_PER_HOUR", "1000"),
            ("LOGIN_LIMIT_PER_MINUTE", "1000"),
            ("RECOVERY_LIMIT_PER_HOUR", "1000"),
            ("TOKEN_LIMIT_PER_MINUTE", "1000"),
        ];
        let variables = defaults.iter().chain(variables);
        let variables = variables.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let variables: BTreeMap<_, _> = variables.collect();
        let config = Config::from_lookup(|name| variables.get(name).cloned());
        let app = App::new(config.expect("the configuration is right")).expect("the app starts");
        let names = tables.iter().chain(&queues);
        let names = names.map(|(id, name)| (name.clone(), id.clone()));
        let names = names.chain([(bucket.clone(), "FilesBucket".to_owned())]);
        let app = permissions::guarded(&app, &TEMPLATE, names.collect());
        create_bucket(&app).await;
        // Rate limits count by the minute: no story shall begin at the end of one.
        app.clock.advance(60 - app.clock.seconds() % 60);
        let keys = SigningKeys::derive(SECRET).unwrap();
        app.sign_with(keys)
            .await
            .expect("the keys can be published");
        Self {
            variables,
            gateway: Gateway::new(bundle(&app)),
            worker: Worker::new(app.clone()).expect("the worker starts"),
            sqs: local::aws::sqs_client(AWS.sqs_url()),
            hidden: Mutex::default(),
            dead_letters: queues["TaskDeadLetterQueue"].clone(),
            app,
        }
    }

    /// What the functions of this bundle are told, for one that runs as a process of its own.
    pub fn variables(&self) -> &BTreeMap<String, String> {
        &self.variables
    }

    /// Another instance on the same tables, which has just started and knows no key.
    pub fn instance(&self) -> App {
        App::with_sdk(
            self.app.config.clone(),
            self.app.sdk.clone(),
            self.app.clock.clone(),
        )
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
        self.anon()
            .register(&format!("user{number}@example.com"))
            .await
    }

    /// The first superuser, made as `cargo dev` makes it, logged in.
    pub async fn admin(&self) -> Actor<'_> {
        let email = "admin@example.com";
        local::superuser::ensure(&self.app, email, PASSWORD)
            .await
            .expect("a superuser");
        self.anon().log_in(email, PASSWORD).await
    }

    /// A request as the event that API Gateway sends for it.
    pub async fn send(&self, event: &Value) -> Answer {
        self.gateway.send(&TEMPLATE, event).await
    }

    /// A request to one function, whatever its path.
    pub async fn send_to(&self, function: &str, event: &Value) -> Answer {
        self.gateway.send_to(function, event).await
    }

    /// Gives all messages of the task queue to the worker, as the event source mapping does. Answers how many
    /// succeeded and how many failed.
    pub async fn work(&self) -> (usize, usize) {
        self.work_waiting(0).await
    }

    /// The same, but one batch only, for which it waits up to so many seconds.
    pub async fn work_waiting(&self, seconds: i32) -> (usize, usize) {
        let source = self.source().await;
        let worker = async |event: Value| {
            let handles = event["Records"].as_array().into_iter().flatten();
            let handles = handles.filter_map(|record| record["receiptHandle"].as_str());
            self.hidden
                .lock()
                .unwrap()
                .extend(handles.map(str::to_owned));
            let response = self.handle(serde_json::from_value(event)?).await;
            Ok(serde_json::to_value(response)?)
        };
        let (mut received, mut failed) = (0, 0);
        loop {
            let batch = pump::deliver(&self.sqs, &source, seconds, &worker)
                .await
                .unwrap();
            assert_eq!(batch.error, None, "a batch failed as a whole");
            if batch.received == 0 {
                return (received - failed, failed);
            }
            received += batch.received;
            failed += batch.failed;
            if seconds > 0 {
                return (received - failed, failed);
            }
        }
    }

    /// The task queue with its trigger, for a worker that runs elsewhere.
    pub async fn source(&self) -> pump::Source {
        let trigger = &TEMPLATE.function("worker").unwrap().triggers[0];
        let url = &self.app.config.task_queue_url;
        pump::Source::new(&self.sqs, url, trigger).await.unwrap()
    }

    pub fn sqs(&self) -> &aws_sdk_sqs::Client {
        &self.sqs
    }

    /// Gives one event to the worker.
    pub async fn handle(&self, event: SqsEvent) -> SqsBatchResponse {
        permissions::as_function("worker", worker::handle(self.worker.clone(), event)).await
    }

    /// Lets time pass: sets the clock ahead, and ends the time for which messages are hidden.
    pub async fn later(&self, seconds: i64) {
        self.app.clock.advance(seconds);
        let hidden = std::mem::take(&mut *self.hidden.lock().unwrap());
        for handle in hidden {
            let show = self.sqs.change_message_visibility().visibility_timeout(0);
            let show = show.queue_url(&self.app.config.task_queue_url);
            // Many were deleted meanwhile.
            let _ = show.receipt_handle(handle).send().await;
        }
    }

    /// Runs the sweep as its schedule does, and everything that it sends.
    pub async fn sweep(&self) -> (usize, usize) {
        self.post_message("{\"schedule\":\"sweep\"}").await;
        self.work().await
    }

    /// How many messages lie in the dead-letter queue.
    pub async fn dead_letters(&self) -> usize {
        let waiting = QueueAttributeName::ApproximateNumberOfMessages;
        self.count(&self.dead_letters, waiting).await
    }

    /// Puts a message into the task queue, as a schedule or a stranger would.
    pub async fn post_message(&self, body: &str) {
        let request = self.sqs.send_message().message_body(body);
        let request = request.queue_url(&self.app.config.task_queue_url);
        request.send().await.unwrap();
    }

    /// Takes all messages out of the queue that can be received now, as the worker is given them. They come back
    /// [`later`](Self::later), unless they are deleted.
    pub async fn receive(&self) -> Vec<SqsMessage> {
        let source = self.source().await;
        let received = Mutex::new(Vec::new());
        loop {
            let keep = async |event: Value| {
                let event: SqsEvent = serde_json::from_value(event)?;
                received.lock().unwrap().extend(event.records);
                // As a function that fails.
                anyhow::bail!("not yet")
            };
            let batch = pump::deliver(&self.sqs, &source, 0, &keep).await.unwrap();
            if batch.received == 0 {
                break;
            }
        }
        let received = received.into_inner().unwrap();
        let handles = received.iter().filter_map(|m| m.receipt_handle.clone());
        self.hidden.lock().unwrap().extend(handles);
        received
    }

    /// Deletes a message, as the event source mapping does with what was handled.
    pub async fn delete(&self, message: &SqsMessage) {
        let delete = self.sqs.delete_message();
        let delete = delete.queue_url(&self.app.config.task_queue_url);
        let handle = message.receipt_handle.clone();
        // A copy may have been deleted before.
        let _ = delete.set_receipt_handle(handle).send().await;
    }

    /// How many messages the queue holds back.
    pub async fn delayed_messages(&self) -> usize {
        self.count(
            &self.app.config.task_queue_url,
            QueueAttributeName::ApproximateNumberOfMessagesDelayed,
        )
        .await
    }

    async fn count(&self, url: &str, of: QueueAttributeName) -> usize {
        let request = self.sqs.get_queue_attributes().queue_url(url);
        let answer = request.attribute_names(of.clone()).send().await.unwrap();
        answer.attributes.unwrap()[&of].parse().unwrap()
    }

    /// Writes an attribute of a task, as a build of another version would.
    pub async fn set_attribute(&self, task: Uuid, name: &str, value: &str) {
        let key = keys::task(task);
        let dynamodb = local::aws::dynamodb_client(AWS.dynamodb_url());
        let update = dynamodb
            .update_item()
            .table_name(&self.app.config.app_table);
        let update = update
            .key("pk", AttributeValue::S(key.pk))
            .key("sk", AttributeValue::S(key.sk))
            .update_expression("SET #name = :value")
            .expression_attribute_names("#name", name)
            .expression_attribute_values(":value", AttributeValue::S(value.to_owned()));
        update.send().await.unwrap();
    }

    /// Replaces a user's password hash, as an import does.
    pub async fn set_password_hash(&self, user: Uuid, hash: &str) {
        let key = keys::password(user);
        let vault = self.app.config.vault_table.clone().unwrap();
        let dynamodb = local::aws::dynamodb_client(AWS.dynamodb_url());
        let update = dynamodb.update_item().table_name(vault);
        let update = update
            .key("pk", AttributeValue::S(key.pk))
            .key("sk", AttributeValue::S(key.sk))
            .update_expression("SET #hash = :hash")
            .expression_attribute_names("#hash", "hash")
            .expression_attribute_values(":hash", AttributeValue::S(hash.to_owned()));
        update.send().await.unwrap();
    }

    /// The functions as they are once the secret was rotated, on the same tables.
    pub async fn rotated(&self, secret: &str) -> Self {
        let app = self.instance();
        let keys = SigningKeys::derive(secret).unwrap().after(SECRET).unwrap();
        app.sign_with(keys).await.expect("the key can be published");
        self.beside(app)
    }

    /// The functions as another instance runs them, on the same tables and with the same queue.
    pub fn beside(&self, app: App) -> Self {
        Self {
            variables: self.variables.clone(),
            gateway: Gateway::new(bundle(&app)),
            worker: Worker::new(app.clone()).expect("the worker starts"),
            sqs: self.sqs.clone(),
            hidden: Mutex::default(),
            dead_letters: self.dead_letters.clone(),
            app,
        }
    }

    /// The tasks that were written, in the order of their ids.
    pub async fn task_ids(&self) -> Vec<Uuid> {
        let dynamodb = local::aws::dynamodb_client(AWS.dynamodb_url());
        let page = dynamodb
            .scan()
            .table_name(&self.app.config.app_table)
            .send()
            .await
            .unwrap();
        let keys = page.items().iter().map(|item| item["pk"].as_s().unwrap());
        let mut ids: Vec<_> = keys.filter_map(|pk| keys::task_id(pk)).collect();
        ids.sort();
        ids
    }

    /// Takes all messages out of the task queue and loses them.
    pub async fn lose_messages(&self) -> usize {
        let url = &self.app.config.task_queue_url;
        let mut lost = 0;
        loop {
            let batch = self
                .sqs
                .receive_message()
                .queue_url(url)
                .wait_time_seconds(0);
            let messages = batch.max_number_of_messages(10).send().await.unwrap();
            let messages = messages.messages.unwrap_or_default();
            if messages.is_empty() {
                return lost;
            }
            for message in messages {
                let delete = self.sqs.delete_message().queue_url(url);
                delete
                    .set_receipt_handle(message.receipt_handle)
                    .send()
                    .await
                    .unwrap();
                lost += 1;
            }
        }
    }

    /// All objects of the bucket.
    pub async fn objects(&self) -> BTreeMap<String, Vec<u8>> {
        let bucket = Bucket::new(&self.app).unwrap();
        let mut objects = BTreeMap::new();
        for key in bucket.list("").await.unwrap() {
            if let Some(bytes) = bucket.get(&key, u64::MAX).await.unwrap() {
                objects.insert(key, bytes);
            }
        }
        objects
    }

    /// The items of the table `app`.
    pub async fn stored(&self) -> Vec<HashMap<String, AttributeValue>> {
        let dynamodb = local::aws::dynamodb_client(AWS.dynamodb_url());
        let mut items = Vec::new();
        let mut start = None;
        loop {
            let scan = dynamodb.scan().table_name(&self.app.config.app_table);
            let page = scan.set_exclusive_start_key(start).send().await.unwrap();
            items.extend(page.items.unwrap_or_default());
            start = page.last_evaluated_key;
            if start.is_none() {
                return items;
            }
        }
    }

    /// Every item of both tables as text, for what must not be there.
    pub async fn all_items(&self) -> Vec<String> {
        let dynamodb = local::aws::dynamodb_client(AWS.dynamodb_url());
        let vault = self.app.config.vault_table.clone().unwrap();
        let mut items = Vec::new();
        for table in [self.app.config.app_table.clone(), vault] {
            let page = dynamodb.scan().table_name(table).send().await.unwrap();
            assert!(
                page.last_evaluated_key.is_none(),
                "more than a page of items"
            );
            items.extend(page.items().iter().map(|item| format!("{item:?}")));
        }
        items
    }
}

/// The routes of each function that answers HTTP, by its name. A new function joins here.
pub fn routers() -> [(&'static str, OpenApiRouter<App>); 8] {
    [
        ("auth", auth::router()),
        ("users", users::router()),
        ("items", items::router()),
        ("orders", orders::router()),
        ("files", files::router()),
        ("tasks", tasks::router()),
        ("system", system::router()),
        ("docs", docs::router()),
    ]
}

fn bundle(app: &App) -> BTreeMap<String, axum::Router> {
    let wrapped = routers().map(|(name, routes)| {
        let router = shared::http::wrap(app.clone(), routes);
        (name.to_owned(), router)
    });
    wrapped.into_iter().collect()
}
