//! An example of each body, made of the examples of its fields where nobody has written one for the whole.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use utoipa::openapi::path::Operation;
use utoipa::openapi::{Content, OpenApi, RefOr, Schema};

use crate::rules::operations;

/// Deeper than any body; what refers to itself ends here.
const DEEPEST: u32 = 16;

/// Gives each body of a request or a response an example: at its schema if that is one of ours, so that it stands there
/// once, and else at the body.
pub(crate) fn fill(document: &mut OpenApi) {
    let components = document.components.get_or_insert_default();
    let schemas = serde_json::to_value(&components.schemas).unwrap_or_default();
    let mut used = BTreeSet::new();
    let items = document.paths.paths.values_mut();
    for content in items.flat_map(operations).flat_map(contents) {
        let is_shown = content.example.is_some() || !content.examples.is_empty();
        let Some(schema) = content.schema.as_ref().filter(|_| !is_shown) else {
            continue;
        };
        let name = match schema {
            RefOr::Ref(reference) => reference.ref_location.rsplit('/').next(),
            RefOr::T(_) => None,
        };
        let known = name.and_then(|name| Some((name, components.schemas.get(name)?)));
        match known {
            Some((name, RefOr::T(Schema::Object(_)))) => {
                used.insert(name.to_owned());
            }
            _ => {
                let schema = serde_json::to_value(schema).unwrap_or_default();
                content.example = Some(of(&schema, &schemas, 0));
            }
        }
    }
    for (name, schema) in &mut components.schemas {
        if let RefOr::T(Schema::Object(object)) = schema
            && used.contains(name)
            && object.example.is_none()
            && object.examples.is_empty()
        {
            object.examples = vec![of(&schemas[name], &schemas, 0)];
        }
    }
}

fn contents(operation: &mut Operation) -> Vec<&mut Content> {
    let mut contents = Vec::new();
    if let Some(RefOr::T(body)) = &mut operation.request_body {
        contents.extend(body.content.iter_mut());
    }
    for response in operation.responses.responses.values_mut() {
        if let RefOr::T(response) = response {
            contents.extend(response.content.iter_mut());
        }
    }
    // Nobody reads the bytes of an image.
    let texts = contents
        .into_iter()
        .filter(|(kind, _)| !kind.starts_with("image/"));
    let described = texts.filter_map(|(_, content)| match content {
        RefOr::T(content) => Some(content),
        RefOr::Ref(_) => None,
    });
    described.collect()
}

/// A value of this schema.
fn of(schema: &Value, schemas: &Value, depth: u32) -> Value {
    if depth > DEEPEST {
        return Value::Null;
    }
    let inner = |schema: &Value| of(schema, schemas, depth + 1);
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.rsplit('/').next().unwrap_or_default();
        return inner(&schemas[name]);
    }
    let written = [
        &schema["example"],
        &schema["examples"][0],
        &schema["const"],
        &schema["default"],
        &schema["enum"][0],
    ];
    if let Some(written) = written.into_iter().find(|value| !value.is_null()) {
        return written.clone();
    }
    for either in ["oneOf", "anyOf"] {
        let mut choices = schema[either].as_array().into_iter().flatten();
        if let Some(choice) = choices.find(|choice| choice["type"] != "null") {
            return inner(choice);
        }
    }
    if let Some(parts) = schema["allOf"].as_array() {
        let parts = parts.iter().map(inner);
        let fields = parts.filter_map(|part| match part {
            Value::Object(fields) => Some(fields),
            _ => None,
        });
        return Value::Object(fields.flatten().collect());
    }
    match kind(schema) {
        "object" => {
            let fields = schema["properties"].as_object().into_iter().flatten();
            let fields = fields.map(|(name, field)| (name.clone(), inner(field)));
            Value::Object(fields.collect::<Map<_, _>>())
        }
        "array" => json!([inner(&schema["items"])]),
        "string" => text(schema["format"].as_str()).into(),
        "integer" | "number" => match &schema["minimum"] {
            Value::Null => json!(1),
            minimum => minimum.clone(),
        },
        "boolean" => json!(true),
        _ => Value::Null,
    }
}

/// The type of a schema, without that it may be null.
fn kind(schema: &Value) -> &str {
    let of_many = schema["type"].as_array().into_iter().flatten();
    let mut all = std::iter::once(&schema["type"])
        .chain(of_many)
        .filter_map(Value::as_str);
    all.find(|kind| *kind != "null").unwrap_or_default()
}

fn text(format: Option<&str>) -> &'static str {
    match format {
        Some("uuid") => "0198c8f5-6b1e-7c3a-9d52-2f0e8a41b7c6",
        Some("date-time") => "2026-11-21T10:00:00Z",
        Some("password") => "Correct-horse-7",
        Some("uri") => "https://api.example.com/",
        _ => "text",
    }
}
