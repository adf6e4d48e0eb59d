//! What a function may do on AWS, by the policies of `template.yaml`: a call that they do not allow is a test that
//! fails. What was used is noted in a file below `target/`, for whoever asks what is allowed and never used.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex};

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use local::template::{Permission, Template};
use serde_json::Value;
use shared::App;

tokio::task_local! {
    static FUNCTION: String;
}

/// Runs `work` as this function: what it asks of AWS must be allowed to it.
pub async fn as_function<F: Future>(name: &str, work: F) -> F::Output {
    // Boxed, because a test's thread has a small stack.
    FUNCTION.scope(name.to_owned(), Box::pin(work)).await
}

/// One thing that a call does.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Act {
    action: String,
    /// As a [`Permission`] has it.
    resource: String,
    /// Of the item, where the call names one.
    partition: Option<String>,
}

/// The application with clients that ask for permission. `names` are the logical ids by the names that the resources
/// have here.
pub(crate) fn guarded(
    app: &App,
    template: &'static Template,
    names: BTreeMap<String, String>,
) -> App {
    let inner = app.sdk.http_client().expect("there is a client");
    let names = Arc::new(names);
    let client = SharedHttpClient::new(Guard {
        inner,
        template,
        names,
    });
    let sdk = app.sdk.to_builder().http_client(client).build();
    App::with_sdk(app.config.clone(), sdk, app.clock.clone())
}

#[derive(Clone, Debug)]
struct Guard<T> {
    inner: T,
    template: &'static Template,
    names: Arc<BTreeMap<String, String>>,
}

impl HttpClient for Guard<SharedHttpClient> {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(Guard {
            inner: self.inner.http_connector(settings, components),
            template: self.template,
            names: self.names.clone(),
        })
    }
}

impl HttpConnector for Guard<SharedHttpConnector> {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        // Outside a function it is the stage itself, which may look at everything.
        let _ = FUNCTION.try_with(|function| self.check(function, &request));
        self.inner.call(request)
    }
}

impl<T> Guard<T> {
    fn check(&self, name: &str, request: &HttpRequest) {
        let function = self.template.function(name).expect("it is a function");
        for act in acts(request, &self.names) {
            let allowing = function
                .permissions
                .iter()
                .find(|permission| allows(permission, &act));
            let Some(permission) = allowing else {
                panic!("template.yaml does not allow {name} {act:?}");
            };
            note(name, permission, &act);
        }
    }
}

fn allows(permission: &Permission, act: &Act) -> bool {
    let is_action = permission.actions.contains(&act.action);
    let is_resource = permission
        .resources
        .iter()
        .any(|pattern| is_like(pattern, &act.resource));
    let keys = &permission.leading_keys;
    let is_key = |partition: &String| keys.iter().any(|pattern| is_like(pattern, partition));
    let is_partition = keys.is_empty() || act.partition.as_ref().is_some_and(is_key);
    is_action && is_resource && is_partition
}

/// Whether a text is of a pattern that may end with `*`.
pub fn is_like(pattern: &str, text: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => text.starts_with(start),
        None => pattern == text,
    }
}

/// Where what was used is noted: one line each of function, statement, action and pattern of resource.
pub fn notes() -> PathBuf {
    let binary = std::env::current_exe().expect("the test has a file");
    // `target/debug/deps/api-…`
    binary
        .ancestors()
        .nth(3)
        .expect("it is below target")
        .join("permissions")
}

static NOTED: LazyLock<Mutex<BTreeSet<String>>> = LazyLock::new(Mutex::default);

fn note(function: &str, permission: &Permission, act: &Act) {
    let pattern = permission
        .resources
        .iter()
        .find(|pattern| is_like(pattern, &act.resource));
    let pattern = pattern.map_or("", String::as_str);
    let line = format!("{function} {} {} {pattern}\n", permission.id, act.action);
    let mut noted = NOTED.lock().unwrap();
    if noted.insert(line.clone()) {
        let folder = notes();
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join(format!("{}.txt", std::process::id()));
        let file = std::fs::File::options()
            .create(true)
            .append(true)
            .open(file);
        file.unwrap().write_all(line.as_bytes()).unwrap();
    }
}

/// What a request does.
fn acts(request: &HttpRequest, names: &BTreeMap<String, String>) -> Vec<Act> {
    let body = request.body().bytes().unwrap_or_default();
    let Some(target) = request.headers().get("x-amz-target") else {
        return of_s3(request, body, names);
    };
    let (service, operation) = target.rsplit_once('.').expect("a service and an operation");
    let body: Value = serde_json::from_slice(body).expect("a call is JSON");
    match service {
        "DynamoDB_20120810" => of_dynamodb(operation, &body, names),
        "AmazonSQS" => {
            let url = body["QueueUrl"].as_str().expect("a queue");
            let action = operation.strip_suffix("Batch").unwrap_or(operation);
            vec![Act {
                action: format!("sqs:{action}"),
                resource: named(names, url),
                partition: None,
            }]
        }
        "secretsmanager" => vec![Act {
            action: format!("secretsmanager:{operation}"),
            resource: "AuthSecret".to_owned(),
            partition: None,
        }],
        other => panic!("{other} is not known here"),
    }
}

fn of_dynamodb(operation: &str, body: &Value, names: &BTreeMap<String, String>) -> Vec<Act> {
    let act = |action: &str, table: &str, partition: Option<&str>| Act {
        action: format!("dynamodb:{action}"),
        resource: named(names, table),
        partition: partition.map(str::to_owned),
    };
    match operation {
        "BatchGetItem" | "BatchWriteItem" => {
            let tables = body["RequestItems"].as_object().expect("tables").keys();
            tables.map(|table| act(operation, table, None)).collect()
        }
        "TransactWriteItems" => {
            let writes = body["TransactItems"].as_array().expect("writes").iter();
            let writes = writes.map(|write| {
                let (kind, write) = write
                    .as_object()
                    .and_then(|w| w.iter().next())
                    .expect("a write");
                let action = match kind.as_str() {
                    "ConditionCheck" => "ConditionCheckItem".to_owned(),
                    kind => format!("{kind}Item"),
                };
                act(
                    &action,
                    write["TableName"].as_str().expect("a table"),
                    partition(write),
                )
            });
            writes.collect()
        }
        _ => {
            let mut act = act(
                operation,
                body["TableName"].as_str().expect("a table"),
                partition(body),
            );
            if let Some(index) = body["IndexName"].as_str() {
                act.resource = format!("{}/index/{index}", act.resource);
            }
            vec![act]
        }
    }
}

fn partition(call: &Value) -> Option<&str> {
    let keys = [&call["Key"]["pk"]["S"], &call["Item"]["pk"]["S"]];
    keys.into_iter().find_map(Value::as_str)
}

/// By path, as other S3s than AWS's are asked.
fn of_s3(request: &HttpRequest, body: &[u8], names: &BTreeMap<String, String>) -> Vec<Act> {
    let url = url::Url::parse(request.uri()).expect("a URL");
    let path = url.path().trim_start_matches('/');
    // SES has no target either. Its identities are not of the template.
    if path.starts_with("v2/email/") {
        return Vec::new();
    }
    let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
    let bucket = named(names, bucket);
    let act = |action: &str, key: &str| Act {
        action: format!("s3:{action}"),
        resource: match key {
            "" => bucket.clone(),
            key => format!("{bucket}/{key}"),
        },
        partition: None,
    };
    match (request.method(), key) {
        ("GET", "") => vec![act("ListBucket", "")],
        ("POST", "") => {
            let text = String::from_utf8_lossy(body);
            let keys = text.split("<Key>").skip(1);
            let keys = keys.filter_map(|rest| rest.split_once("</Key>"));
            keys.map(|(key, _)| act("DeleteObject", key)).collect()
        }
        ("GET" | "HEAD", key) => vec![act("GetObject", key)],
        ("PUT", key) => vec![act("PutObject", key)],
        ("DELETE", key) => vec![act("DeleteObject", key)],
        (method, key) => panic!("{method} {key} is not known here"),
    }
}

fn named(names: &BTreeMap<String, String>, name: &str) -> String {
    let found = names.get(name);
    found
        .unwrap_or_else(|| panic!("{name} is not of the template"))
        .clone()
}
