//! What watches the house: the alarms and the dashboard of `template.yaml` name what there is, and leave nothing out.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value as Json;
use tests::template;
use yaml_serde::Value as Yaml;

/// The metrics of AWS that may be named, each with its dimensions, as the documentation of each service has them.
const OF_AWS: [(&str, &str, &[&str]); 8] = [
    (
        "AWS/ApiGateway",
        "Count 4xx 5xx Latency IntegrationLatency",
        &["ApiId"],
    ),
    (
        "AWS/Lambda",
        "Invocations Errors Throttles Duration ConcurrentExecutions",
        &["FunctionName"],
    ),
    ("AWS/Lambda", "ClaimedAccountConcurrency", &[]),
    (
        "AWS/SQS",
        "ApproximateNumberOfMessagesVisible ApproximateNumberOfMessagesNotVisible \
         ApproximateAgeOfOldestMessage",
        &["QueueName"],
    ),
    (
        "AWS/DynamoDB",
        "ConsumedReadCapacityUnits ConsumedWriteCapacityUnits TransactionConflict",
        &["TableName"],
    ),
    (
        "AWS/DynamoDB",
        "ReadThrottleEvents WriteThrottleEvents",
        &["TableName"],
    ),
    (
        "AWS/DynamoDB",
        "ReadThrottleEvents WriteThrottleEvents",
        &["TableName", "GlobalSecondaryIndexName"],
    ),
    ("AWS/DynamoDB", "SystemErrors", &["TableName", "Operation"]),
];

/// A metric with its dimensions. What refers to something in the template is written as in `!Sub`:
/// `${TaskQueue.QueueName}`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Metric {
    namespace: String,
    name: String,
    dimensions: Vec<(String, String)>,
}

fn read(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    std::fs::read_to_string(root.join(path)).unwrap()
}

fn deployed() -> Yaml {
    yaml_serde::from_str(&read("template.yaml")).unwrap()
}

/// The resources of a type, with their logical ids.
fn resources<'a>(deployed: &'a Yaml, kind: &str) -> Vec<(&'a str, &'a Yaml)> {
    let all = deployed["Resources"].as_mapping().unwrap().iter();
    let of_kind = all.filter(|(_, resource)| resource["Type"].as_str() == Some(kind));
    of_kind
        .map(|(id, resource)| (id.as_str().unwrap(), &resource["Properties"]))
        .collect()
}

/// A text, with what it refers to as in `!Sub`.
fn text(value: &Yaml) -> String {
    let Yaml::Tagged(tagged) = value else {
        return value.as_str().unwrap().to_owned();
    };
    let inner = tagged.value.as_str().unwrap();
    match tagged.tag.to_string().as_str() {
        "!Ref" | "!GetAtt" => format!("${{{inner}}}"),
        "!Sub" => inner.to_owned(),
        other => panic!("{other} {inner}"),
    }
}

/// Each alarm with the metrics that it looks at.
fn alarms(deployed: &Yaml) -> Vec<(String, Vec<Metric>)> {
    let metric = |told: &Yaml| {
        let dimensions = told.get("Dimensions").and_then(Yaml::as_sequence);
        let dimensions = dimensions.into_iter().flatten();
        Metric {
            namespace: text(&told["Namespace"]),
            name: text(&told["MetricName"]),
            dimensions: dimensions
                .map(|dimension| (text(&dimension["Name"]), text(&dimension["Value"])))
                .collect(),
        }
    };
    let alarms = resources(deployed, "AWS::CloudWatch::Alarm").into_iter();
    let read = |(id, alarm): (&str, &Yaml)| {
        let several = alarm.get("Metrics").and_then(Yaml::as_sequence);
        let metrics = match several {
            Some(several) => several
                .iter()
                .filter_map(|one| Some(metric(one.get("MetricStat")?.get("Metric")?)))
                .collect(),
            None => vec![metric(alarm)],
        };
        (id.to_owned(), metrics)
    };
    alarms.map(read).collect()
}

/// The widgets of the dashboard.
fn widgets(deployed: &Yaml) -> Vec<Json> {
    let [(_, dashboard)] = resources(deployed, "AWS::CloudWatch::Dashboard")[..] else {
        panic!("one dashboard")
    };
    // What `!Sub` puts in are names and ARNs, none of which changes what is JSON.
    let body: Json = serde_json::from_str(&text(&dashboard["DashboardBody"])).unwrap();
    body["widgets"].as_array().unwrap().clone()
}

/// The metrics of a widget. `...` stands for the beginning of the row before, and `.` for what is there in its place.
fn shown(widget: &Json) -> Vec<Metric> {
    let mut before: Vec<String> = Vec::new();
    let mut metrics = Vec::new();
    for row in widget["properties"]["metrics"]
        .as_array()
        .into_iter()
        .flatten()
    {
        let mut row = row.as_array().unwrap().clone();
        if let Some(expression) = row[0]["expression"].as_str() {
            metrics.extend(searched(expression));
            continue;
        }
        row.retain(|part| !part.is_object());
        let mut parts: Vec<String> = row
            .iter()
            .map(|part| part.as_str().unwrap().to_owned())
            .collect();
        if parts.first().is_some_and(|first| first == "...") {
            let kept = before.len() + 1 - parts.len();
            parts.splice(..1, before[..kept].iter().cloned());
        }
        for (part, old) in parts.iter_mut().zip(&before) {
            if part == "." {
                part.clone_from(old);
            }
        }
        let [namespace, name, dimensions @ ..] = &parts[..] else {
            panic!("{parts:?}")
        };
        let dimensions = dimensions.chunks(2);
        metrics.push(Metric {
            namespace: namespace.clone(),
            name: name.clone(),
            dimensions: dimensions
                .map(|pair| (pair[0].clone(), pair[1].clone()))
                .collect(),
        });
        before = parts;
    }
    metrics
}

/// `SEARCH('{namespace,dimension,…} MetricName="name" dimension=("value" OR …)', …)`: of each value a metric, whose
/// other dimensions may be anything.
fn searched(expression: &str) -> Vec<Metric> {
    let (schema, query) = expression
        .strip_prefix("SEARCH('{")
        .and_then(|rest| rest.split_once("} MetricName=\""))
        .unwrap_or_else(|| panic!("{expression}"));
    let (name, query) = query.split_once("\" ").unwrap();
    let (filtered, values) = query.split_once("=(").unwrap();
    let (values, _) = values.split_once(')').unwrap();
    let (namespace, dimensions) = schema.split_once(',').unwrap();
    let metric = |value: &str| Metric {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        dimensions: dimensions
            .split(',')
            .map(|dimension| {
                let is_filtered = dimension == filtered;
                let value = if is_filtered { value } else { "*" };
                (dimension.to_owned(), value.to_owned())
            })
            .collect(),
    };
    let values = values.split(" OR ").map(|value| value.trim_matches('"'));
    values.map(metric).collect()
}

/// Whether there is something in the template that a dimension's value names.
fn is_there(deployed: &Yaml, dimension: &str, value: &str) -> bool {
    let kind = match dimension {
        "ApiId" => "AWS::Serverless::HttpApi",
        "FunctionName" => "AWS::Serverless::Function",
        "TableName" => "AWS::DynamoDB::Table",
        "QueueName" => "AWS::SQS::Queue",
        "GlobalSecondaryIndexName" => {
            let indexes = template().tables.iter().flat_map(|table| &table.indexes);
            return indexes.into_iter().any(|index| index.name == value);
        }
        "Environment" => return value == "${Environment}",
        "Operation" => return value == "*",
        _ => return false,
    };
    let name = match dimension {
        "QueueName" => value.replace(".QueueName}", "}"),
        _ => value.to_owned(),
    };
    let there = resources(deployed, kind);
    there.iter().any(|(id, _)| name == format!("${{{id}}}"))
}

#[test]
fn every_metric_that_is_named_is_written() {
    let deployed = deployed();
    let ours = read("shared/src/metrics.rs");
    let alarmed = alarms(&deployed)
        .into_iter()
        .flat_map(|(_, metrics)| metrics);
    let shown = widgets(&deployed)
        .iter()
        .flat_map(shown)
        .collect::<Vec<_>>();
    let named: BTreeSet<_> = alarmed.chain(shown).collect();
    assert!(named.len() > 50, "{}", named.len());
    for metric in &named {
        let dimensions: Vec<_> = metric.dimensions.iter().map(|(d, _)| d.as_str()).collect();
        if metric.namespace == "Sheaf" {
            let is_written = ours.contains(&format!("\"{}\"", metric.name));
            assert!(is_written, "nobody writes {metric:?}");
            assert_eq!(dimensions, ["Environment"], "{metric:?}");
        } else {
            let is_known = OF_AWS.iter().any(|(namespace, names, known)| {
                metric.namespace == *namespace
                    && names.split(' ').any(|name| name == metric.name)
                    && dimensions == *known
            });
            assert!(is_known, "AWS has no {metric:?}");
        }
        for (dimension, value) in &metric.dimensions {
            let found = is_there(&deployed, dimension, value);
            assert!(found, "{dimension} {value} is not in the template");
        }
    }
}

#[test]
fn what_the_dashboard_refers_to_is_in_the_template() {
    let deployed = deployed();
    let [(_, dashboard)] = resources(&deployed, "AWS::CloudWatch::Dashboard")[..] else {
        panic!("one dashboard")
    };
    let body = text(&dashboard["DashboardBody"]);
    for reference in body.split("${").skip(1) {
        let name = reference.split_once('}').unwrap().0;
        let id = name.split_once('.').map_or(name, |(id, _)| id);
        let known = ["Resources", "Parameters"].map(|part| deployed[part].get(id).is_some());
        let is_known = known.contains(&true) || name == "AWS::Region";
        assert!(is_known, "{name} is not in the template");
    }
}

#[test]
fn no_widget_lies_on_another() {
    let mut taken = BTreeSet::new();
    for widget in widgets(&deployed()) {
        let number = |name: &str| widget[name].as_u64().unwrap();
        let (x, y) = (number("x"), number("y"));
        assert!(x + number("width") <= 24, "{widget}");
        for column in x..x + number("width") {
            for row in y..y + number("height") {
                assert!(taken.insert((column, row)), "{widget}");
            }
        }
    }
}

#[test]
fn every_alarm_is_on_the_dashboard_and_in_the_manual() {
    let deployed = deployed();
    let readme = read("README.md");
    let (_, manual) = readme.split_once("\n## When it pages you\n").unwrap();
    let (manual, _) = manual.split_once("\n## ").unwrap();
    let widgets = widgets(&deployed);
    let listed = widgets
        .iter()
        .filter_map(|widget| widget["properties"]["alarms"].as_array());
    let mut listed: Vec<_> = listed.flatten().map(|a| a.as_str().unwrap()).collect();
    let mut expected = Vec::new();
    for (id, _) in alarms(&deployed) {
        // Those of the functions' errors are one line.
        let is_told = manual.contains(&format!("`{id}`"))
            || (id.ends_with("ErrorsAlarm") && id != "ApiErrorsAlarm");
        assert!(is_told, "README.md does not say what to do about {id}");
        expected.push(format!("${{{id}.Arn}}"));
    }
    listed.sort_unstable();
    expected.sort_unstable();
    assert_eq!(listed, expected);
    let unknown = manual.split('`').filter(|word| word.ends_with("Alarm"));
    for id in unknown.filter(|id| !id.contains('…')) {
        let id = format!("${{{id}.Arn}}");
        assert!(expected.contains(&id), "there is no {id}");
    }
}

#[test]
fn every_function_table_and_index_is_watched() {
    let deployed = deployed();
    let alarmed: Vec<_> = alarms(&deployed)
        .into_iter()
        .flat_map(|(_, metrics)| metrics)
        .collect();
    let shown: Vec<_> = widgets(&deployed).iter().flat_map(shown).collect();
    let is_in = |metrics: &[Metric], name: &str, values: &[&str]| {
        metrics.iter().any(|metric| {
            let found = metric.dimensions.iter().map(|(_, value)| value.as_str());
            metric.name == name && found.eq(values.iter().copied())
        })
    };
    for function in &template().functions {
        let id = format!("${{{}}}", function.id);
        for name in ["Errors", "Throttles"] {
            assert!(is_in(&alarmed, name, &[&id]), "no alarm for {name} of {id}");
        }
        for name in [
            "Invocations",
            "Errors",
            "Duration",
            "ConcurrentExecutions",
            "Throttles",
        ] {
            assert!(is_in(&shown, name, &[&id]), "{name} of {id} is not shown");
        }
    }
    for table in &template().tables {
        let id = format!("${{{}}}", table.id);
        for name in ["ReadThrottleEvents", "WriteThrottleEvents"] {
            assert!(is_in(&alarmed, name, &[&id]), "no alarm for {name} of {id}");
            assert!(is_in(&shown, name, &[&id]), "{name} of {id} is not shown");
            for index in &table.indexes {
                let values = [id.as_str(), &index.name];
                assert!(
                    is_in(&shown, name, &values),
                    "{name} of {values:?} is not shown"
                );
            }
        }
        for index in &table.indexes {
            let values = [id.as_str(), &index.name];
            let found = is_in(&alarmed, "WriteThrottleEvents", &values);
            assert!(found, "no alarm for the writes of {values:?}");
        }
        assert!(is_in(&shown, "SystemErrors", &[&id, "*"]), "{id}");
    }
}
