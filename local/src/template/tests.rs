use super::*;

fn repository() -> Template {
    Template::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../template.yaml")).unwrap()
}

fn string(name: &str) -> Attribute {
    Attribute {
        name: name.to_owned(),
        kind: AttributeKind::String,
    }
}

/// A template with these resources, which are indented by two.
fn with_resources(resources: &str) -> Result<Template> {
    Template::parse(&format!("Resources:\n{resources}"))
}

fn error(resources: &str) -> String {
    format!("{:#}", with_resources(resources).unwrap_err())
}

#[test]
fn the_repository_has_its_tables() {
    let tables = repository().tables;
    let app = tables.iter().find(|table| table.id == "AppTable").unwrap();
    assert_eq!(app.key.hash, string("pk"));
    assert_eq!(app.key.range, Some(string("sk")));
    assert_eq!(app.ttl_attribute.as_deref(), Some("ttl"));
    let index = |name: &str| {
        let mut indexes = app.indexes.iter();
        indexes.find(|index| index.name == name).unwrap()
    };
    let tasks = index("tasks");
    assert_eq!(tasks.key.hash, string("task_list"));
    assert_eq!(
        tasks.key.range,
        Some(Attribute {
            name: "task_time".to_owned(),
            kind: AttributeKind::Number
        })
    );
    let beside = ["id", "not_before"].map(str::to_owned);
    assert_eq!(tasks.projection, Projection::Include(beside.into()));
    assert_eq!(index("owned").projection, Projection::KeysOnly);
    assert!(tables.iter().any(|table| table.id == "VaultTable"));
}

#[test]
fn the_repository_has_its_queue_and_sweep() {
    let template = repository();
    let queue = template
        .queues
        .iter()
        .find(|queue| queue.id == "TaskQueue")
        .unwrap();
    assert_eq!(queue.redrive.as_ref().unwrap().queue, "TaskDeadLetterQueue");
    let sweep = &template.schedules[0];
    assert_eq!(sweep.queue, "TaskQueue");
    assert_eq!(sweep.input, r#"{"schedule":"sweep"}"#);
    let worker = template.function("worker").unwrap();
    assert_eq!(
        worker.triggers,
        [Trigger {
            queue: "TaskQueue".to_owned(),
            batch_size: 10,
            reports_failures: true
        }]
    );
    assert!(worker.routes.is_empty());
}

#[test]
fn the_repository_has_its_functions() {
    let template = repository();
    let auth = template.function("auth").unwrap();
    assert!(auth.routes.contains(&Route {
        method: "ANY".to_owned(),
        path: "/api/v1/auth/{proxy+}".to_owned()
    }));
    let value = |name| auth.variables.get(name).unwrap().clone();
    assert_eq!(
        value("ENVIRONMENT"),
        Variable::Text("production".to_owned())
    );
    assert_eq!(
        value("REGISTER_LIMIT_PER_HOUR"),
        Variable::Text("5".to_owned())
    );
    assert_eq!(
        value("VAULT_TABLE"),
        Variable::Resource("VaultTable".to_owned())
    );

    let worker = template.function("worker").unwrap();
    assert_eq!(worker.variables["PUBLIC_URL"], Variable::Computed);
}

#[test]
fn functions_may_be_called_long_or_short() {
    let short = "
  Dead: { Type: AWS::SQS::Queue }
  Tasks:
    Type: AWS::SQS::Queue
    Properties: { RedrivePolicy: { deadLetterTargetArn: !GetAtt Dead.Arn, maxReceiveCount: 3 } }
";
    let long = short.replace("!GetAtt Dead.Arn", "{ Fn::GetAtt: [Dead, Arn] }");
    let queues = with_resources(short).unwrap().queues;
    assert_eq!(queues, with_resources(&long).unwrap().queues);
    assert_eq!(queues[1].visibility_timeout_seconds, 30);
}

#[test]
fn a_bucket_tells_a_queue() {
    let buckets = "
  Tasks: { Type: AWS::SQS::Queue }
  Silent: { Type: AWS::S3::Bucket }
  Files:
    Type: AWS::S3::Bucket
    Properties:
      NotificationConfiguration:
        QueueConfigurations:
          - Event: s3:ObjectCreated:*
            Filter: { S3Key: { Rules: [{ Name: prefix, Value: pending/ }] } }
            Queue: !GetAtt Tasks.Arn
          - { Event: s3:ObjectCreated:*, Queue: !GetAtt Tasks.Arn }
";
    let told = |prefix: &str| Notification {
        prefix: prefix.to_owned(),
        queue: "Tasks".to_owned(),
    };
    let found = with_resources(buckets).unwrap().buckets;
    assert_eq!(found[0].notifications, []);
    assert_eq!(found[1].notifications, [told("pending/"), told("")]);

    let place = "Resources.Files.Properties.NotificationConfiguration";
    for (from, to, expected) in [
        (
            "QueueConfigurations",
            "LambdaConfigurations",
            format!("{place}.LambdaConfigurations cannot be sent locally; use QueueConfigurations"),
        ),
        (
            "s3:ObjectCreated:*",
            "s3:ObjectRemoved:*",
            format!(
                "{place}.QueueConfigurations.0.Event must be s3:ObjectCreated:* to be sent locally"
            ),
        ),
        (
            "Name: prefix",
            "Name: suffix",
            format!(
                "{place}.QueueConfigurations.0.Filter.S3Key.Rules.0.Name must be prefix to be \
                 applied locally"
            ),
        ),
        (
            "AWS::SQS::Queue",
            "AWS::SNS::Topic",
            "Resources.Files sends to or reads from Tasks, which is not a queue here".to_owned(),
        ),
    ] {
        assert_eq!(error(&buckets.replace(from, to)), expected);
    }
}

#[test]
fn what_cannot_be_read_is_named() {
    let no_index_attribute = "
  T:
    Type: AWS::DynamoDB::Table
    Properties:
      AttributeDefinitions: [{ AttributeName: pk, AttributeType: S }]
      KeySchema: [{ AttributeName: sk, KeyType: HASH }]
";
    assert_eq!(
        error(no_index_attribute),
        "Resources.T.Properties.KeySchema.0 uses `sk`, which AttributeDefinitions lacks"
    );

    let computed = "
  Q: { Type: AWS::SQS::Queue, Properties: { VisibilityTimeout: !If [A, 1, 2] } }
";
    assert_eq!(
        error(computed),
        "Resources.Q.Properties.VisibilityTimeout calls Fn::If, which cannot be evaluated without AWS"
    );

    let no_queue = "
  Q: { Type: AWS::SNS::Topic }
  Rule:
    Type: AWS::Events::Rule
    Properties:
      ScheduleExpression: rate(1 minute)
      Targets: [{ Id: a, Arn: !GetAtt Q.Arn, Input: x }]
";
    assert_eq!(
        error(no_queue),
        "Resources.Rule sends to or reads from Q, which is not a queue here"
    );

    let odd_rate = "
  Rule: { Type: AWS::Events::Rule, Properties: { ScheduleExpression: rate(soon) } }
";
    assert!(
        error(odd_rate)
            .starts_with("Resources.Rule.Properties.ScheduleExpression cannot be understood: "),
        "{}",
        error(odd_rate)
    );

    let no_binary = "
  F: { Type: AWS::Serverless::Function, Properties: {} }
";
    assert_eq!(
        error(no_binary),
        "Resources.F.Metadata.BuildProperties.Binary is missing"
    );

    let other_event = "
  F:
    Type: AWS::Serverless::Function
    Metadata: { BuildProperties: { Binary: f } }
    Properties: { Events: { Soon: { Type: Schedule } } }
";
    assert!(
        error(other_event)
            .starts_with("Resources.F.Properties.Events.Soon.Type is Schedule, which")
    );

    assert!(format!("{:#}", Template::parse("a: [").unwrap_err()).starts_with("it is not YAML"));
    assert_eq!(
        format!("{:#}", Template::parse("a: b").unwrap_err()),
        "Resources is missing"
    );
}

#[test]
fn a_missing_file_is_named() {
    let error = Template::read(Path::new("no/template.yaml")).unwrap_err();
    assert_eq!(error.to_string(), "no/template.yaml cannot be read");
}
