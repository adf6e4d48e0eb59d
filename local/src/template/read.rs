//! Reads each kind of resource, and checks that what refers to another refers to one that is there.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};

use super::node::Node;
use super::{
    Attribute, AttributeKind, Bucket, Function, Index, Key, Notification, Permission, Projection,
    Queue, Redrive, Route, Schedule, Table, Template, Trigger, Variable,
};
use crate::schedule::Timing;

pub(super) fn template(text: &str) -> Result<Template> {
    let root = Node::parse(text)?;
    let parameters = parameter_defaults(&root)?;
    let globals = root.find(&["Globals", "Function"]);

    let mut template = Template {
        tables: Vec::new(),
        queues: Vec::new(),
        buckets: Vec::new(),
        schedules: Vec::new(),
        functions: Vec::new(),
    };
    for (id, resource) in root.need("Resources")?.fields()? {
        match resource.need("Type")?.text()?.as_str() {
            "AWS::DynamoDB::Table" => template.tables.push(table(id, &resource)?),
            "AWS::SQS::Queue" => template.queues.push(queue(id, &resource)?),
            "AWS::S3::Bucket" => template.buckets.push(bucket(id, &resource)?),
            "AWS::Events::Rule" => template.schedules.extend(schedules(&id, &resource)?),
            "AWS::Serverless::Function" => {
                let function = function(id, &resource, globals.as_ref(), &parameters)?;
                template.functions.push(function);
            }
            // Each would be data or work that is there when deployed and silently absent locally.
            kind @ ("AWS::DynamoDB::GlobalTable"
            | "AWS::Lambda::Function"
            | "AWS::Lambda::EventSourceMapping"
            | "AWS::Scheduler::Schedule"
            | "AWS::Serverless::SimpleTable"
            | "AWS::Serverless::StateMachine") => {
                bail!("Resources.{id} is an {kind}, which the local bundle cannot run")
            }
            _ => {}
        }
    }
    check_references(&template)?;
    Ok(template)
}

fn parameter_defaults(root: &Node) -> Result<BTreeMap<String, Option<String>>> {
    let Some(parameters) = root.get("Parameters") else {
        return Ok(BTreeMap::new());
    };
    let mut defaults = BTreeMap::new();
    for (name, parameter) in parameters.fields()? {
        let default = parameter.get("Default").map(|default| default.text());
        defaults.insert(name, default.transpose()?);
    }
    Ok(defaults)
}

fn table(id: String, resource: &Node) -> Result<Table> {
    let properties = resource.need("Properties")?;
    let mut kinds = BTreeMap::new();
    for definition in properties.need("AttributeDefinitions")?.items()? {
        let kind = definition.need("AttributeType")?;
        let kind = match kind.text()?.as_str() {
            "S" => AttributeKind::String,
            "N" => AttributeKind::Number,
            "B" => AttributeKind::Binary,
            _ => return Err(kind.error("must be S, N or B")),
        };
        kinds.insert(definition.need("AttributeName")?.text()?, kind);
    }
    if let Some(local) = properties.get("LocalSecondaryIndexes") {
        return Err(local.error("cannot be read; use GlobalSecondaryIndexes"));
    }

    let mut indexes = Vec::new();
    if let Some(list) = properties.get("GlobalSecondaryIndexes") {
        for index in list.items()? {
            indexes.push(Index {
                name: index.need("IndexName")?.text()?,
                key: key(&index, &kinds)?,
                projection: projection(&index.need("Projection")?)?,
            });
        }
    }
    let ttl_attribute = match properties.get("TimeToLiveSpecification") {
        Some(ttl) if ttl.need("Enabled")?.text()? == "true" => {
            Some(ttl.need("AttributeName")?.text()?)
        }
        _ => None,
    };
    Ok(Table {
        id,
        key: key(&properties, &kinds)?,
        indexes,
        ttl_attribute,
    })
}

fn key(owner: &Node, kinds: &BTreeMap<String, AttributeKind>) -> Result<Key> {
    let schema = owner.need("KeySchema")?;
    let (mut hash, mut range) = (None, None);
    for element in schema.items()? {
        let name = element.need("AttributeName")?.text()?;
        let Some(&kind) = kinds.get(&name) else {
            return Err(element.error(&format!("uses `{name}`, which AttributeDefinitions lacks")));
        };
        let kind_of_key = element.need("KeyType")?;
        let place = match kind_of_key.text()?.as_str() {
            "HASH" => &mut hash,
            "RANGE" => &mut range,
            _ => return Err(kind_of_key.error("must be HASH or RANGE")),
        };
        *place = Some(Attribute { name, kind });
    }
    match hash {
        Some(hash) => Ok(Key { hash, range }),
        None => Err(schema.error("has no HASH")),
    }
}

fn projection(node: &Node) -> Result<Projection> {
    let kind = node.need("ProjectionType")?;
    match kind.text()?.as_str() {
        "ALL" => Ok(Projection::All),
        "KEYS_ONLY" => Ok(Projection::KeysOnly),
        "INCLUDE" => {
            let names = node.need("NonKeyAttributes")?.items()?;
            let names: Result<_> = names.iter().map(Node::text).collect();
            Ok(Projection::Include(names?))
        }
        _ => Err(kind.error("must be ALL, KEYS_ONLY or INCLUDE")),
    }
}

fn queue(id: String, resource: &Node) -> Result<Queue> {
    let number = |name, default| match resource.find(&["Properties", name]) {
        Some(node) => node.number(),
        None => Ok(default),
    };
    if let Some(fifo) = resource.find(&["Properties", "FifoQueue"])
        && fifo.text()? == "true"
    {
        return Err(fifo.error("is set, but the local SQS has no FIFO queues"));
    }
    let redrive = match resource.find(&["Properties", "RedrivePolicy"]) {
        Some(policy) => Some(Redrive {
            queue: policy.need("deadLetterTargetArn")?.arn_of()?,
            max_receive_count: policy.need("maxReceiveCount")?.number()?,
        }),
        None => None,
    };
    Ok(Queue {
        id,
        visibility_timeout_seconds: number("VisibilityTimeout", 30)?,
        delay_seconds: number("DelaySeconds", 0)?,
        receive_wait_seconds: number("ReceiveMessageWaitTimeSeconds", 0)?,
        redrive,
    })
}

fn bucket(id: String, resource: &Node) -> Result<Bucket> {
    let mut notifications = Vec::new();
    if let Some(kinds) = resource.find(&["Properties", "NotificationConfiguration"]) {
        for (kind, list) in kinds.fields()? {
            if kind != "QueueConfigurations" {
                return Err(list.error("cannot be sent locally; use QueueConfigurations"));
            }
            for entry in list.items()? {
                notifications.push(notification(&entry)?);
            }
        }
    }
    Ok(Bucket { id, notifications })
}

fn notification(entry: &Node) -> Result<Notification> {
    let event = entry.need("Event")?;
    if event.text()? != "s3:ObjectCreated:*" {
        return Err(event.error("must be s3:ObjectCreated:* to be sent locally"));
    }
    let mut prefix = String::new();
    if let Some(rules) = entry.find(&["Filter", "S3Key", "Rules"]) {
        for rule in rules.items()? {
            let name = rule.need("Name")?;
            if name.text()? != "prefix" {
                return Err(name.error("must be prefix to be applied locally"));
            }
            prefix = rule.need("Value")?.text()?;
        }
    }
    Ok(Notification {
        prefix,
        queue: entry.need("Queue")?.arn_of()?,
    })
}

fn schedules(id: &str, resource: &Node) -> Result<Vec<Schedule>> {
    let properties = resource.need("Properties")?;
    if let Some(pattern) = properties.get("EventPattern") {
        return Err(
            pattern.error("cannot be run locally; only rules with a ScheduleExpression can")
        );
    }
    if let Some(state) = properties.get("State")
        && state.text()? != "ENABLED"
    {
        return Ok(Vec::new());
    }
    let expression = properties.need("ScheduleExpression")?;
    let timing = Timing::parse(&expression.text()?)
        .with_context(|| expression.error("cannot be understood").to_string())?;

    let mut schedules = Vec::new();
    for target in properties.need("Targets")?.items()? {
        schedules.push(Schedule {
            id: id.to_owned(),
            timing: timing.clone(),
            queue: target.need("Arn")?.arn_of()?,
            input: target.need("Input")?.text()?,
        });
    }
    Ok(schedules)
}

fn function(
    id: String,
    resource: &Node,
    globals: Option<&Node>,
    parameters: &BTreeMap<String, Option<String>>,
) -> Result<Function> {
    let name = resource
        .find(&["Metadata", "BuildProperties", "Binary"])
        .with_context(|| format!("Resources.{id}.Metadata.BuildProperties.Binary is missing"))?
        .text()?;
    let properties = resource.need("Properties")?;

    let mut variables = BTreeMap::new();
    let mut timeout_seconds = 3;
    for source in globals.into_iter().chain([&properties]) {
        if let Some(own) = source.find(&["Environment", "Variables"]) {
            for (name, value) in own.fields()? {
                variables.insert(name, variable(&value, parameters)?);
            }
        }
        if let Some(timeout) = source.get("Timeout") {
            timeout_seconds = timeout.number()?;
        }
    }

    let (mut routes, mut triggers) = (Vec::new(), Vec::new());
    if let Some(events) = properties.get("Events") {
        for (_, event) in events.fields()? {
            let kind = event.need("Type")?;
            match kind.text()?.as_str() {
                "HttpApi" => routes.push(route(&event)?),
                "SQS" => triggers.push(trigger(&event)?),
                other => {
                    return Err(kind.error(&format!(
                        "is {other}, which the local bundle cannot send; for a schedule use an \
                         AWS::Events::Rule with a queue as its target"
                    )));
                }
            }
        }
    }
    let mut permissions = Vec::new();
    for policy in list(properties.get("Policies"))? {
        for statement in list(policy.get("Statement"))? {
            permissions.push(permission(&statement)?);
        }
    }
    Ok(Function {
        id,
        name,
        timeout_seconds,
        routes,
        triggers,
        variables,
        permissions,
    })
}

/// A list, or one that stands for itself, or nothing.
fn list(node: Option<Node>) -> Result<Vec<Node>> {
    match node {
        None => Ok(Vec::new()),
        Some(node) => node.items().or_else(|_| Ok(vec![node])),
    }
}

/// Of `!If [Condition, Statement, …]` it is the first that counts: what a deployment may have.
fn permission(node: &Node) -> Result<Permission> {
    let choice = node.call().filter(|(function, _)| function == "Fn::If");
    if let Some((_, choices)) = choice {
        let choices = choices.items()?;
        let chosen = choices.get(1);
        return permission(chosen.ok_or_else(|| node.error("has nothing to choose from"))?);
    }
    let effect = node.need("Effect")?;
    if effect.text()? != "Allow" {
        return Err(effect.error("must be Allow: only what is allowed is understood here"));
    }
    let texts = |node: Option<Node>| list(node)?.iter().map(Node::text).collect::<Result<_>>();
    let keys = [
        "Condition",
        "ForAllValues:StringLike",
        "dynamodb:LeadingKeys",
    ];
    Ok(Permission {
        id: node.need("Sid")?.text()?,
        actions: texts(Some(node.need("Action")?))?,
        resources: list(Some(node.need("Resource")?))?
            .iter()
            .map(resource)
            .collect::<Result<_>>()?,
        leading_keys: texts(node.find(&keys))?,
    })
}

/// What a resource of a statement is called here. One that is not of this template is called by its text.
fn resource(node: &Node) -> Result<String> {
    match node.call() {
        Some((function, text)) if function == "Fn::Sub" => {
            Ok(text.text()?.replacen("${", "", 1).replacen(".Arn}", "", 1))
        }
        Some((function, id)) if function == "Ref" => id.text(),
        _ => node.arn_of(),
    }
}

fn variable(value: &Node, parameters: &BTreeMap<String, Option<String>>) -> Result<Variable> {
    if let Some(name) = value.reference() {
        return Ok(match parameters.get(&name) {
            Some(Some(default)) => Variable::Text(default.clone()),
            Some(None) => Variable::Computed,
            None => Variable::Resource(name),
        });
    }
    if value.call().is_some() {
        return Ok(Variable::Computed);
    }
    Ok(Variable::Text(value.text()?))
}

fn route(event: &Node) -> Result<Route> {
    let text = |name, default: &str| match event.find(&["Properties", name]) {
        Some(node) => node.text(),
        None => Ok(default.to_owned()),
    };
    // SAM makes an event with neither of them the default route.
    Ok(Route {
        method: text("Method", "ANY")?.to_uppercase(),
        path: text("Path", "$default")?,
    })
}

fn trigger(event: &Node) -> Result<Trigger> {
    let properties = event.need("Properties")?;
    let batch_size = match properties.get("BatchSize") {
        Some(size) => match size.number()? {
            number @ 1..=10 => number,
            _ => return Err(size.error("must be from 1 to 10 to be run locally")),
        },
        None => 10,
    };
    let mut reports_failures = false;
    if let Some(kinds) = properties.get("FunctionResponseTypes") {
        for kind in kinds.items()? {
            reports_failures |= kind.text()? == "ReportBatchItemFailures";
        }
    }
    if let Some(filter) = properties.get("FilterCriteria") {
        return Err(filter.error("cannot be applied locally"));
    }
    Ok(Trigger {
        queue: properties.need("Queue")?.arn_of()?,
        batch_size,
        reports_failures,
    })
}

fn check_references(template: &Template) -> Result<()> {
    let is_queue = |id: &str| template.queues.iter().any(|queue| queue.id == id);
    let redrives = template.queues.iter().filter_map(|queue| {
        let redrive = queue.redrive.as_ref()?;
        Some((&queue.id, &redrive.queue))
    });
    let schedules = template
        .schedules
        .iter()
        .map(|rule| (&rule.id, &rule.queue));
    let triggers = template.functions.iter().flat_map(|function| {
        let triggers = function.triggers.iter();
        triggers.map(|trigger| (&function.id, &trigger.queue))
    });
    let notifications = template.buckets.iter().flat_map(|bucket| {
        let notifications = bucket.notifications.iter();
        notifications.map(|notification| (&bucket.id, &notification.queue))
    });
    let uses = redrives.chain(schedules).chain(triggers);
    for (id, target) in uses.chain(notifications) {
        if !is_queue(target) {
            bail!("Resources.{id} sends to or reads from {target}, which is not a queue here");
        }
    }
    Ok(())
}
