//! Makes in the local AWS what the template asks for and is not there yet.
//!
//! Nothing that exists is changed or emptied. A table whose keys or indexes differ from the template's is refused with
//! a sentence, because the real DynamoDB could not serve the queries of the code either.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType,
    Projection as IndexProjection, ProjectionType, ScalarAttributeType, TableDescription,
    TimeToLiveSpecification, TimeToLiveStatus,
};
use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::json;

use crate::aws::{LocalAws, Notification, dynamodb_client, sqs_client};
use crate::template::{Attribute, AttributeKind, Index, Key, Projection, Queue, Table, Template};

/// What `!Ref` gives for each resource, by its logical id: the name of a table or bucket, the URL of a queue.
pub type References = BTreeMap<String, String>;

/// Makes the tables, queues and buckets, and answers how each is referred to.
pub async fn provision(aws: &LocalAws, template: &Template, prefix: &str) -> Result<References> {
    let mut references = create_tables(aws.dynamodb_url(), template, prefix).await?;
    let queues = create_queues(aws.sqs_url(), template, prefix).await?;
    references.extend(create_buckets(aws, template, prefix, &queues)?);
    references.extend(queues);
    Ok(references)
}

/// The name a resource has locally: its logical id in kebab case, `AppTable` being `app-table`, after the prefix.
///
/// CloudFormation makes names up, so that nothing can depend on them. These are fit for tables, queues and buckets.
pub fn name(prefix: &str, id: &str) -> String {
    let mut name = prefix.to_owned();
    for (at, letter) in id.char_indices() {
        if letter.is_ascii_uppercase() && at > 0 {
            name.push('-');
        }
        name.push(letter.to_ascii_lowercase());
    }
    name
}

/// Makes the template's tables in any DynamoDB, and answers their names by logical id.
pub async fn create_tables(url: &str, template: &Template, prefix: &str) -> Result<References> {
    let dynamodb = dynamodb_client(url);
    let mut references = References::new();
    for table in &template.tables {
        let name = name(prefix, &table.id);
        create_table(&dynamodb, table, &name)
            .await
            .with_context(|| format!("the table {name} could not be made"))?;
        references.insert(table.id.clone(), name);
    }
    Ok(references)
}

async fn create_table(
    dynamodb: &aws_sdk_dynamodb::Client,
    table: &Table,
    name: &str,
) -> Result<()> {
    let mut request = dynamodb
        .create_table()
        .table_name(name)
        .billing_mode(BillingMode::PayPerRequest)
        .set_key_schema(Some(key_schema(&table.key)?))
        .set_attribute_definitions(Some(attribute_definitions(table)?));
    for index in &table.indexes {
        request = request.global_secondary_indexes(
            GlobalSecondaryIndex::builder()
                .index_name(&index.name)
                .set_key_schema(Some(key_schema(&index.key)?))
                .projection(projection(index))
                .build()?,
        );
    }
    match request.send().await {
        Ok(_) => {}
        Err(error) => {
            let error = error.into_service_error();
            if !error.is_resource_in_use_exception() {
                return Err(error.into());
            }
            let existing = dynamodb.describe_table().table_name(name).send().await?;
            let existing = existing.table.context("it exists but has no description")?;
            check_same(table, &existing)?;
        }
    }

    let Some(attribute) = &table.ttl_attribute else {
        return Ok(());
    };
    let ttl = dynamodb.describe_time_to_live().table_name(name);
    let ttl = ttl.send().await?.time_to_live_description;
    let enabled = ttl.is_some_and(|ttl| {
        ttl.time_to_live_status == Some(TimeToLiveStatus::Enabled)
            && ttl.attribute_name.as_deref() == Some(attribute)
    });
    // DynamoDB refuses to enable what is enabled.
    if !enabled {
        let ttl = TimeToLiveSpecification::builder()
            .attribute_name(attribute)
            .enabled(true)
            .build()?;
        let request = dynamodb.update_time_to_live().table_name(name);
        request.time_to_live_specification(ttl).send().await?;
    }
    Ok(())
}

fn key_schema(key: &Key) -> Result<Vec<KeySchemaElement>> {
    let element = |attribute: &Attribute, kind| {
        KeySchemaElement::builder()
            .attribute_name(&attribute.name)
            .key_type(kind)
            .build()
    };
    let mut schema = vec![element(&key.hash, KeyType::Hash)?];
    if let Some(range) = &key.range {
        schema.push(element(range, KeyType::Range)?);
    }
    Ok(schema)
}

/// Each attribute of each key once: DynamoDB refuses one that no key uses.
fn attribute_definitions(table: &Table) -> Result<Vec<AttributeDefinition>> {
    let keys = std::iter::once(&table.key).chain(table.indexes.iter().map(|index| &index.key));
    let attributes: BTreeMap<&str, AttributeKind> = keys
        .flat_map(|key| std::iter::once(&key.hash).chain(key.range.as_ref()))
        .map(|attribute| (attribute.name.as_str(), attribute.kind))
        .collect();
    let mut definitions = Vec::new();
    for (name, kind) in attributes {
        let kind = match kind {
            AttributeKind::String => ScalarAttributeType::S,
            AttributeKind::Number => ScalarAttributeType::N,
            AttributeKind::Binary => ScalarAttributeType::B,
        };
        definitions.push(
            AttributeDefinition::builder()
                .attribute_name(name)
                .attribute_type(kind)
                .build()?,
        );
    }
    Ok(definitions)
}

fn projection(index: &Index) -> IndexProjection {
    let builder = IndexProjection::builder();
    match &index.projection {
        Projection::All => builder.projection_type(ProjectionType::All),
        Projection::KeysOnly => builder.projection_type(ProjectionType::KeysOnly),
        Projection::Include(names) => builder
            .projection_type(ProjectionType::Include)
            .set_non_key_attributes(Some(names.clone())),
    }
    .build()
}

fn check_same(table: &Table, existing: &TableDescription) -> Result<()> {
    let mut wanted = BTreeMap::from([(None, key_schema(&table.key)?)]);
    for index in &table.indexes {
        wanted.insert(Some(index.name.as_str()), key_schema(&index.key)?);
    }
    let mut found = BTreeMap::from([(None, existing.key_schema().to_vec())]);
    for index in existing.global_secondary_indexes() {
        found.insert(index.index_name(), index.key_schema().to_vec());
    }
    if wanted != found {
        bail!(
            "it exists, but its keys or indexes are not those of template.yaml; \
             `cargo dev --reset` starts with empty tables"
        );
    }
    Ok(())
}

/// Makes the template's queues, dead-letter queues first, and answers their URLs by logical id.
pub async fn create_queues(url: &str, template: &Template, prefix: &str) -> Result<References> {
    let sqs = sqs_client(url);
    let (with_redrive, without): (Vec<_>, Vec<_>) = template
        .queues
        .iter()
        .partition(|queue| queue.redrive.is_some());
    let mut references = References::new();
    for queue in without.into_iter().chain(with_redrive) {
        let name = name(prefix, &queue.id);
        let url = create_queue(&sqs, queue, &name, &references)
            .await
            .with_context(|| format!("the queue {name} could not be made"))?;
        references.insert(queue.id.clone(), url);
    }
    Ok(references)
}

async fn create_queue(
    sqs: &aws_sdk_sqs::Client,
    queue: &Queue,
    name: &str,
    made: &References,
) -> Result<String> {
    let mut request = sqs
        .create_queue()
        .queue_name(name)
        .attributes(
            QueueAttributeName::VisibilityTimeout,
            queue.visibility_timeout_seconds.to_string(),
        )
        .attributes(
            QueueAttributeName::DelaySeconds,
            queue.delay_seconds.to_string(),
        )
        .attributes(
            QueueAttributeName::ReceiveMessageWaitTimeSeconds,
            queue.receive_wait_seconds.to_string(),
        );
    if let Some(redrive) = &queue.redrive {
        let target = made.get(&redrive.queue).with_context(|| {
            format!(
                "its dead-letter queue {} has a dead-letter queue itself",
                redrive.queue
            )
        })?;
        let policy = json!({
            "deadLetterTargetArn": arn(sqs, target).await?,
            "maxReceiveCount": redrive.max_receive_count,
        });
        request = request.attributes(QueueAttributeName::RedrivePolicy, policy.to_string());
    }
    let answer = request.send().await?;
    answer.queue_url.context("it was made but has no URL")
}

/// The ARN of the queue with this URL.
pub async fn arn(sqs: &aws_sdk_sqs::Client, queue_url: &str) -> Result<String> {
    let request = sqs.get_queue_attributes().queue_url(queue_url);
    let answer = request
        .attribute_names(QueueAttributeName::QueueArn)
        .send()
        .await?;
    let arn = answer
        .attributes()
        .and_then(|attributes| attributes.get(&QueueAttributeName::QueueArn));
    arn.cloned().context("the queue has no ARN")
}

/// Makes the template's buckets, which tell these queues of objects, and answers their names by logical id.
pub fn create_buckets(
    aws: &LocalAws,
    template: &Template,
    prefix: &str,
    queues: &References,
) -> Result<References> {
    let mut references = References::new();
    for bucket in &template.buckets {
        let name = name(prefix, &bucket.id);
        aws.create_bucket(&name)?;
        let mut notifications = Vec::new();
        for told in &bucket.notifications {
            let queue_url = queues.get(&told.queue);
            let queue_url = queue_url
                .with_context(|| format!("the queue {} was not made", told.queue))?
                .clone();
            let prefix = told.prefix.clone();
            notifications.push(Notification { prefix, queue_url });
        }
        aws.notify(&name, notifications);
        references.insert(bucket.id.clone(), name);
    }
    Ok(references)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use aws_sdk_dynamodb::types::AttributeValue;

    use super::*;
    use crate::aws::{Ports, Storage};

    fn template() -> Template {
        Template::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../template.yaml")).unwrap()
    }

    fn text(value: &str) -> AttributeValue {
        AttributeValue::S(value.to_owned())
    }

    #[test]
    fn names_are_in_kebab_case() {
        assert_eq!(name("", "AppTable"), "app-table");
        assert_eq!(
            name("t1-", "TaskDeadLetterQueue"),
            "t1-task-dead-letter-queue"
        );
    }

    #[tokio::test]
    async fn doing_it_twice_changes_nothing() {
        let aws = LocalAws::start(Storage::Memory, Ports::Any).unwrap();
        let first = provision(&aws, &template(), "").await.unwrap();
        assert_eq!(first["AppTable"], "app-table");
        assert_eq!(first["FilesBucket"], "files-bucket");
        assert!(first["TaskQueue"].starts_with(aws.sqs_url()));

        let dynamodb = dynamodb_client(aws.dynamodb_url());
        let put = dynamodb.put_item().table_name("app-table");
        let put = put.item("pk", text("a")).item("sk", text("b"));
        put.send().await.unwrap();

        assert_eq!(provision(&aws, &template(), "").await.unwrap(), first);
        let get = dynamodb.get_item().table_name("app-table");
        let get = get.key("pk", text("a")).key("sk", text("b"));
        assert!(get.send().await.unwrap().item.is_some());
    }

    #[tokio::test]
    async fn data_survives_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let storage = Storage::Folder(folder.path().to_owned());
        let aws = LocalAws::start(storage.clone(), Ports::Any).unwrap();
        provision(&aws, &template(), "").await.unwrap();
        let put = dynamodb_client(aws.dynamodb_url());
        let put = put.put_item().table_name("vault-table");
        let put = put.item("pk", text("a")).item("sk", text("b"));
        put.send().await.unwrap();
        aws.shutdown().await;

        let aws = LocalAws::start(storage, Ports::Any).unwrap();
        provision(&aws, &template(), "").await.unwrap();
        let get = dynamodb_client(aws.dynamodb_url());
        let get = get.get_item().table_name("vault-table");
        let get = get.key("pk", text("a")).key("sk", text("b"));
        assert!(get.send().await.unwrap().item.is_some());
    }

    #[tokio::test]
    async fn prefixes_keep_tests_apart_and_the_index_is_there() {
        let aws = LocalAws::start(Storage::Memory, Ports::Any).unwrap();
        for prefix in ["t1-", "t2-"] {
            let tables = create_tables(aws.dynamodb_url(), &template(), prefix).await;
            assert_eq!(tables.unwrap()["AppTable"], format!("{prefix}app-table"));
        }
        let query = dynamodb_client(aws.dynamodb_url());
        let query = query.query().table_name("t1-app-table").index_name("tasks");
        let query = query
            .key_condition_expression("task_list = :list")
            .expression_attribute_values(":list", text("0"));
        assert_eq!(query.send().await.unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_table_with_other_keys_is_refused() {
        let aws = LocalAws::start(Storage::Memory, Ports::Any).unwrap();
        let mut template = template();
        provision(&aws, &template, "").await.unwrap();

        template.tables[0].indexes.clear();
        let error = provision(&aws, &template, "").await.unwrap_err();
        assert!(format!("{error:#}").contains("cargo dev --reset"));
    }

    #[tokio::test]
    async fn a_message_received_too_often_is_a_dead_letter() {
        let aws = LocalAws::start(Storage::Memory, Ports::Any).unwrap();
        let mut template = template();
        for queue in &mut template.queues {
            queue.receive_wait_seconds = 0;
            if let Some(redrive) = &mut queue.redrive {
                redrive.max_receive_count = 1;
            }
        }
        let queues = create_queues(aws.sqs_url(), &template, "").await.unwrap();
        let sqs = sqs_client(aws.sqs_url());
        let (tasks, dead) = (&queues["TaskQueue"], &queues["TaskDeadLetterQueue"]);
        let send = sqs.send_message().queue_url(tasks).message_body("{}");
        send.send().await.unwrap();

        let receive = |queue: &str| sqs.receive_message().queue_url(queue).send();
        let received = receive(tasks).await.unwrap();
        let handle = received.messages()[0].receipt_handle().unwrap();
        let again = sqs.change_message_visibility().queue_url(tasks);
        let again = again.receipt_handle(handle).visibility_timeout(0);
        again.send().await.unwrap();
        assert!(receive(tasks).await.unwrap().messages().is_empty());
        assert_eq!(receive(dead).await.unwrap().messages().len(), 1);
    }
}
