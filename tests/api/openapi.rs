//! The OpenAPI document: whether it is whole, and whether it still is what clients were promised.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;
use shared::error::Error;
use tests::Stage;

/// The contract as it was reviewed last.
const SNAPSHOT: &str = "../functions/docs/openapi.json";

fn document() -> Value {
    serde_json::to_value(docs::document()).unwrap()
}

/// Method and path, and the operation.
fn operations(document: &Value) -> Vec<(String, &Value)> {
    let paths = document["paths"].as_object().unwrap().iter();
    let operations = paths.flat_map(|(path, item)| {
        let item = item.as_object().unwrap().iter();
        item.map(move |(method, operation)| (format!("{method} {path}"), operation))
    });
    operations.collect()
}

/// What a reference stands for, or the thing itself.
fn resolve<'a>(document: &'a Value, thing: &'a Value) -> &'a Value {
    match thing["$ref"].as_str() {
        Some(reference) => {
            let pointer = reference.strip_prefix('#').unwrap();
            let found = document.pointer(pointer);
            resolve(
                document,
                found.unwrap_or_else(|| panic!("nothing is {reference}")),
            )
        }
        None => thing,
    }
}

/// Status and response of an operation.
fn responses<'a>(document: &'a Value, operation: &'a Value) -> BTreeMap<u16, &'a Value> {
    let responses = operation["responses"].as_object().unwrap().iter();
    let responses =
        responses.map(|(status, response)| (status.parse().unwrap(), resolve(document, response)));
    responses.collect()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn fields(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test may be told what to do")]
fn the_document_is_the_one_that_was_reviewed() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(SNAPSHOT);
    let document = document();
    if std::env::var("UPDATE").is_ok_and(|update| update == "1") {
        let mut text = String::new();
        write(&document, 0, &mut text);
        std::fs::write(&path, text + "\n").unwrap();
    }
    let reviewed = std::fs::read(&path).unwrap_or_default();
    let reviewed: Value = serde_json::from_slice(&reviewed).unwrap_or_default();
    let mut changed = Vec::new();
    compare("", &reviewed, &document, &mut changed);
    assert!(
        changed.is_empty(),
        "the API has changed, at\n  {}\nIf that is meant, look at what it does to clients, and write it down by\n  \
         UPDATE=1 cargo test -p tests --test api openapi",
        changed.join("\n  ")
    );
}

/// Writes what fits into a line as one, so that a change is a few lines long and can be read.
fn write(value: &Value, indent: usize, text: &mut String) {
    let short = value.to_string();
    let (open, inner, close): (_, Vec<_>, _) = match value {
        _ if indent + short.len() <= 118 => return text.push_str(&short),
        Value::Object(fields) => {
            let sorted: BTreeMap<_, _> = fields.iter().collect();
            let name = |name: &String| Value::from(name.as_str()).to_string() + ": ";
            let named = sorted
                .into_iter()
                .map(|(field, value)| (name(field), value));
            ('{', named.collect(), '}')
        }
        Value::Array(list) => {
            let unnamed = list.iter().map(|value| (String::new(), value));
            ('[', unnamed.collect(), ']')
        }
        _ => return text.push_str(&short),
    };
    text.push(open);
    for (place, (name, value)) in inner.into_iter().enumerate() {
        *text += if place == 0 { "\n" } else { ",\n" };
        *text += &" ".repeat(indent + 2);
        *text += &name;
        write(value, indent + 2, text);
    }
    *text += &format!("\n{}{close}", " ".repeat(indent));
}

/// Notes where two documents differ, by paths as deep as they go.
fn compare(path: &str, old: &Value, new: &Value, changed: &mut Vec<String>) {
    if old == new {
        return;
    }
    let (Value::Object(old), Value::Object(new)) = (old, new) else {
        changed.push(path.to_owned());
        return;
    };
    let names: BTreeSet<_> = old.keys().chain(new.keys()).collect();
    for name in names {
        let side = |side: &serde_json::Map<String, Value>| side.get(name).cloned();
        let (old, new) = (side(old).unwrap_or_default(), side(new).unwrap_or_default());
        compare(&format!("{path} › {name}"), &old, &new, changed);
    }
}

#[test]
fn every_reference_leads_somewhere() {
    fn walk(document: &Value, value: &Value, count: &mut u32) {
        if value["$ref"].is_string() {
            resolve(document, value);
            *count += 1;
        }
        for (_, inner) in fields(value) {
            walk(document, inner, count);
        }
        for inner in list(value) {
            walk(document, inner, count);
        }
    }
    let document = document();
    let mut count = 0;
    walk(&document, &document, &mut count);
    assert!(count > 500, "{count}");
    // And nothing stands there that nobody refers to.
    let text = document.to_string();
    for (kind, things) in fields(&document["components"]) {
        for (name, _) in fields(things).filter(|_| kind != "securitySchemes") {
            let reference = format!("\"#/components/{kind}/{name}\"");
            assert!(text.contains(&reference), "nobody refers to {kind} {name}");
        }
    }
}

#[test]
fn every_operation_says_what_it_is_and_for_whom() {
    let document = document();
    let described: Vec<_> = list(&document["tags"]).map(|tag| &tag["name"]).collect();
    let schemes = document["components"]["securitySchemes"]
        .as_object()
        .unwrap();
    for (route, operation) in operations(&document) {
        for word in ["operationId", "summary", "description"] {
            let text = operation[word].as_str().unwrap_or_default();
            assert!(!text.is_empty(), "{route} has no {word}");
        }
        let tags: Vec<_> = list(&operation["tags"]).collect();
        assert!(tags.len() == 1, "{route} has the tags {tags:?}");
        let is_described = described.contains(&tags[0]);
        assert!(
            is_described,
            "{route}: say in functions/docs what {} is",
            tags[0]
        );
        for requirement in list(&operation["security"]) {
            for (name, scopes) in fields(requirement) {
                let flows = fields(&schemes[name]["flows"]);
                for (_, flow) in flows {
                    for scope in list(scopes) {
                        let scope = scope.as_str().unwrap();
                        let is_known = flow["scopes"][scope].is_string();
                        assert!(is_known, "{route}: {name} has no scope {scope}");
                    }
                }
            }
        }
    }
}

#[test]
fn every_body_has_an_example() {
    let document = document();
    for (route, operation) in operations(&document) {
        let responses = responses(&document, operation);
        let answered = responses
            .values()
            .flat_map(|response| fields(&response["content"]));
        let sent = fields(&resolve(&document, &operation["requestBody"])["content"]);
        let texts = answered
            .chain(sent)
            .filter(|(kind, _)| !kind.starts_with("image/"));
        for (kind, content) in texts {
            let schema = resolve(&document, &content["schema"]);
            let examples = [
                &content["example"],
                &content["examples"],
                &schema["example"],
                &schema["examples"],
            ];
            let has_some = examples.iter().any(|example| !example.is_null());
            assert!(has_some, "{route}: {kind} has no example: {content}");
        }
    }
}

/// The rules of `functions/docs/src/rules.rs`, seen from outside.
#[test]
fn every_operation_tells_all_that_it_can_answer() {
    let document = document();
    for (route, operation) in operations(&document) {
        let responses = responses(&document, operation);
        let has = |statuses: &[u16]| {
            for status in statuses {
                assert!(responses.contains_key(status), "{route} has no {status}");
            }
        };
        has(&[500, 503]);
        assert!(
            responses.keys().any(|status| *status < 400),
            "{route} never succeeds"
        );
        let needs = |scheme: &str| list(&operation["security"]).find_map(|need| need.get(scheme));
        if let Some(scopes) = needs("bearer") {
            has(&[401, 429]);
            assert_eq!(needs("login"), Some(scopes), "{route}");
            if scopes != &serde_json::json!([]) {
                has(&[403]);
            }
        }
        for parameter in list(&operation["parameters"]) {
            let parameter = resolve(&document, parameter);
            match parameter["name"].as_str().unwrap() {
                "cursor" => has(&[400, 422]),
                "If-Match" => has(&[412]),
                "If-None-Match" => has(&[304]),
                _ if parameter["in"] == "path" => match &parameter["schema"]["format"] {
                    Value::String(format) if format == "uuid" => has(&[404]),
                    _ => has(&[400]),
                },
                _ => {}
            };
        }
        let body = resolve(&document, &operation["requestBody"]);
        for (_, content) in fields(&body["content"]) {
            has(&[413]);
            if content["schema"]["$ref"].is_string() && !is_oauth(&responses) {
                has(&[400, 415, 422]);
            }
        }
        for (status, response) in &responses {
            let headers = &response["headers"];
            assert!(headers["x-request-id"].is_object(), "{route} {status}");
            let wanted = match status {
                401 => "WWW-Authenticate",
                429 | 503 => "Retry-After",
                302 => "Location",
                304 => "ETag",
                _ => continue,
            };
            assert!(
                headers[wanted].is_object(),
                "{route} {status} has no {wanted}"
            );
        }
    }
}

fn is_oauth(responses: &BTreeMap<u16, &Value>) -> bool {
    let mut all = responses.values();
    all.any(|response| {
        let schema = &response["content"]["application/json"]["schema"];
        schema["$ref"] == "#/components/schemas/OauthProblem"
    })
}

#[test]
fn every_error_is_a_problem_or_oauths_with_its_codes() {
    let document = document();
    let known = |name: &str| format!("#/components/schemas/{name}");
    for (route, operation) in operations(&document) {
        for (status, response) in responses(&document, operation) {
            if status < 400 {
                continue;
            }
            let mut contents = fields(&response["content"]).peekable();
            assert!(contents.peek().is_some(), "{route} {status} has no body");
            for (kind, content) in contents {
                let schema = content["schema"]["$ref"].as_str().unwrap_or_default();
                // That something does not answer is what these were asked for, and no error.
                if route.contains("/health/") && schema == known("Readiness") {
                    continue;
                }
                match kind.as_str() {
                    "application/problem+json" => assert_eq!(schema, known("Problem")),
                    "application/json" => {
                        assert_eq!(schema, known("OauthProblem"), "{route} {status}")
                    }
                    other => panic!("{route} {status} is {other}"),
                }
                let examples: Vec<_> = fields(&content["examples"]).collect();
                assert!(
                    !examples.is_empty(),
                    "{route} {status}: name its codes in `backticks`"
                );
                for (code, example) in examples {
                    let body = &resolve(&document, example)["value"];
                    let told = body.get("code").unwrap_or(&body["error"]);
                    assert_eq!(told, code, "{route} {status}");
                    if let Some(of) = body.get("status") {
                        assert_eq!(of, status, "{route}");
                    }
                }
            }
        }
    }
}

/// A code in backticks gets an example; one that is missing in `functions/docs/src/problems.rs` would get none.
#[test]
fn every_kind_of_problem_is_told_at_the_beginning() {
    let document = document();
    let table = document["info"]["description"].as_str().unwrap();
    let source = include_str!("../../shared/src/error.rs");
    let codes = source.split("pub fn code(&self)").nth(1).unwrap();
    let codes = codes.split("pub fn retryable").next().unwrap();
    let codes: BTreeSet<_> = codes.split('"').skip(1).step_by(2).collect();
    assert!(codes.contains(Error::Stale.code()), "{codes:?}");
    // The gateway's routes know the method, so that 405 is of no operation.
    for code in codes
        .into_iter()
        .filter(|code| *code != "method_not_allowed")
    {
        let is_told = table.contains(&format!("`{code}`"));
        assert!(is_told, "add {code} to functions/docs/src/problems.rs");
    }
}

#[tokio::test]
async fn the_pages_are_made_of_files_from_here_that_may_be_kept() {
    let stage = Stage::new().await;
    let browser = stage.anon().with_header("accept-encoding", "gzip, br");
    for (path, script) in [
        ("/docs", "swagger-ui-bundle."),
        ("/redoc", "redoc.standalone."),
    ] {
        let page = browser.get(path).await.expect(200).expect_round_trips(0);
        assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
        assert_eq!(page.header("cache-control"), "no-cache");
        let policy = page.header("content-security-policy").to_owned();
        assert!(
            policy.starts_with("default-src 'none'; script-src 'self';"),
            "{policy}"
        );
        assert!(
            policy.contains("connect-src 'self' https://api.example.com;"),
            "{policy}"
        );
        let html = String::from_utf8(page.body.to_vec()).unwrap();
        assert!(!html.contains("//"), "{html}");
        let files: Vec<_> = html
            .split('"')
            .filter(|part| part.starts_with("docs/"))
            .collect();
        assert!(files.iter().any(|file| file.contains(script)), "{files:?}");
        for file in files {
            let path = format!("/{file}");
            let packed = browser.get(&path).await.expect(200);
            assert_eq!(packed.header("content-encoding"), "gzip");
            assert_eq!(packed.header("vary"), "accept-encoding");
            assert!(packed.header("cache-control").contains("immutable"));
            // An answer of Lambda has 6 MB at most.
            let plain = stage.anon().get(&path).await.expect(200);
            assert_eq!(plain.header("content-encoding"), "");
            assert!(packed.body.len() < plain.body.len() + 50 && plain.body.len() < 4_000_000);
        }
    }
    browser.get("/docs/page.css").await.expect(404);
    browser.get("/docs/").await.expect(404);
}

#[tokio::test]
async fn the_page_offers_to_log_in_where_it_can() {
    for (allowed, offered) in [("true", true), ("false", false)] {
        let stage = Stage::with(&[("ALLOW_PASSWORD_GRANT", allowed)]).await;
        let document = stage.anon().get("/openapi.json").await.expect(200).json();
        let login = &document["components"]["securitySchemes"]["login"];
        assert_eq!(login.is_object(), offered);
        let me = &document["paths"]["/api/v1/users/me"]["get"]["security"];
        assert_eq!(
            list(me).any(|need| need["login"].is_array()),
            offered,
            "{me}"
        );
        if offered {
            let token = &login["flows"]["password"]["tokenUrl"];
            assert_eq!(token, "https://api.example.com/api/v1/auth/token");
        }
    }
}
