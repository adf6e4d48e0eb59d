//! The rules of the house, as far as a test can keep them.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use local::template::Variable;
use shared::Config;
use tests::{function_of, routers, template};
use utoipa::openapi::OpenApi;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn manifest(path: &str) -> toml::Table {
    read(path).parse().unwrap()
}

/// The Rust files below a folder, with their text.
fn sources(folder: &str) -> Vec<(String, String)> {
    let mut open = vec![root().join(folder)];
    let mut found = Vec::new();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(
                std::fs::read_dir(path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path
                .strip_prefix(root())
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned();
            found.push((name, std::fs::read_to_string(path).unwrap()));
        }
    }
    assert!(!found.is_empty(), "no sources in {folder}");
    found
}

/// Method and path of each route in a document.
fn routes(document: &OpenApi) -> BTreeSet<(String, String)> {
    let document = serde_json::to_value(document).unwrap();
    let paths = document["paths"].as_object().unwrap();
    let methods = ["get", "post", "put", "patch", "delete"];
    let of_path = |(path, item): (&String, &serde_json::Value)| {
        let item = item.as_object().unwrap();
        let methods = methods.iter().filter(|method| item.contains_key(**method));
        let path = path.clone();
        let routes: Vec<_> = methods.map(|m| (m.to_uppercase(), path.clone())).collect();
        routes
    };
    paths.iter().flat_map(of_path).collect()
}

#[test]
fn every_route_reaches_its_function_through_the_template() {
    let mut used = BTreeSet::new();
    for (name, router) in routers() {
        for (method, path) in routes(&router.into_openapi()) {
            let function = function_of(template(), &method, &path).unwrap();
            assert_eq!(function.name, name, "{method} {path}");
            used.insert(name);
        }
    }
    for function in &template().functions {
        let answers = !function.routes.is_empty();
        assert_eq!(
            answers,
            used.contains(function.name.as_str()),
            "{}",
            function.name
        );
    }
}

#[test]
fn every_route_of_the_template_has_something_behind_it() {
    for function in &template().functions {
        if function.routes.is_empty() {
            continue;
        }
        let router = routers()
            .into_iter()
            .find(|(name, _)| *name == function.name);
        let (_, router) = router.unwrap_or_else(|| panic!("{} has no router here", function.name));
        let mounted = routes(&router.into_openapi());
        for route in &function.routes {
            let start = route
                .path
                .trim_end_matches("{proxy+}")
                .trim_end_matches('/');
            let behind = mounted.iter().any(|(_, path)| path.starts_with(start));
            assert!(
                behind || start == "$default",
                "{} has nothing behind it",
                route.path
            );
        }
    }
}

#[test]
fn the_watch_router_is_that_of_the_template() {
    let manifest = manifest("Cargo.toml");
    let router = &manifest["workspace"]["metadata"]["lambda"]["watch"]["router"];
    let watched: BTreeMap<String, String> = router.clone().try_into().unwrap();
    let mut expected = BTreeMap::new();
    for function in &template().functions {
        for route in &function.routes {
            assert_eq!(route.method, "ANY", "the functions answer 405 themselves");
            let paths = match route.path.as_str() {
                "$default" => vec!["/".to_owned(), "/{*path}".to_owned()],
                path => vec![path.replace("{proxy+}", "{*path}")],
            };
            expected.extend(paths.into_iter().map(|path| (path, function.name.clone())));
        }
    }
    assert_eq!(watched, expected);
}

#[test]
fn the_openapi_document_names_every_route_once() {
    let mut mounted = BTreeSet::new();
    for (_, router) in routers() {
        mounted.extend(routes(&router.into_openapi()));
    }
    assert_eq!(routes(&docs::document()), mounted);

    let document = serde_json::to_value(docs::document()).unwrap();
    let items = document["paths"].as_object().unwrap().iter();
    let operations = items.flat_map(|(path, item)| {
        let operations = item.as_object().unwrap().values();
        operations.map(move |operation| (path.clone(), operation.clone()))
    });
    let mut ids = BTreeMap::new();
    for (path, operation) in operations {
        let id = operation["operationId"].as_str().unwrap().to_owned();
        let before = ids.insert(id.clone(), path.clone());
        assert_eq!(before, None, "{id} names two routes, one of them {path}");
        assert!(operation["summary"].is_string(), "{path} has no summary");
        assert!(operation["tags"].is_array(), "{path} has no tag");
    }
}

#[test]
fn no_route_goes_undocumented() {
    // `routes!` mounts and documents; `.route` only mounts. The exception says why.
    only_in(".route(", &["functions"], &["functions/system/src/lib.rs"]);
}

#[test]
fn functions_and_template_name_each_other() {
    let folders = std::fs::read_dir(root().join("functions")).unwrap();
    let folders: BTreeSet<_> = folders
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let named: BTreeSet<_> = template()
        .functions
        .iter()
        .map(|f| f.name.clone())
        .collect();
    assert_eq!(folders, named);
}

#[test]
fn functions_do_not_depend_on_each_other() {
    let names: Vec<_> = template()
        .functions
        .iter()
        .map(|f| f.name.clone())
        .collect();
    for name in &names {
        let manifest = manifest(&format!("functions/{name}/Cargo.toml"));
        let dependencies = manifest["dependencies"].as_table().unwrap().keys();
        let others: Vec<_> = dependencies
            .filter(|dependency| names.contains(dependency))
            .collect();
        assert!(
            others.is_empty() || name == "docs",
            "{name} depends on {others:?}"
        );
    }
}

#[test]
fn main_is_short() {
    for function in &template().functions {
        let main = read(format!("functions/{}/src/main.rs", function.name));
        assert!(
            main.lines().count() <= 12,
            "{} has a long main.rs",
            function.name
        );
    }
}

/// Asserts that `word` stands in none of the files but those that start with one of `except`.
fn only_in(word: &str, folders: &[&str], except: &[&str]) {
    for (name, text) in folders.iter().flat_map(|folder| sources(folder)) {
        let allowed = except.iter().any(|start| name.starts_with(start));
        assert!(allowed || !text.contains(word), "{name} names {word}");
    }
}

#[test]
fn only_config_reads_the_environment() {
    only_in(
        "env::var",
        &["shared/src", "functions"],
        // Cargo tells a script that runs while building by it where to write.
        &["shared/src/config.rs", "functions/docs/build.rs"],
    );
}

#[test]
fn only_the_store_knows_dynamodb() {
    let house = ["shared/src/store/", "shared/src/aws.rs"];
    only_in("aws_sdk_dynamodb", &["shared/src", "functions"], &house);
}

#[test]
fn nothing_scans() {
    // What copies whole tables is in `local`, which no function links.
    only_in(".scan()", &["shared/src", "functions"], &[]);
    for function in &template().functions {
        let manifest = manifest(&format!("functions/{}/Cargo.toml", function.name));
        let dependencies = manifest["dependencies"].as_table().unwrap();
        assert!(!dependencies.contains_key("local"), "{}", function.name);
    }
}

#[test]
fn every_key_is_made_in_one_file() {
    for prefix in [
        "\"USER#",
        "\"SESSION#",
        "\"UNIQUE#",
        "\"TASK#",
        "\"RATE#",
        "\"COUNT#",
        "\"PAST#",
        "\"SEARCH#",
        "\"SUFFIX#",
        "\"PREFERENCES",
        "\"ITEM#",
        "\"ITEMS#",
        "\"ORDER#",
        "\"ORDERS",
        "\"IDEMPOTENCY#",
        "\"CATEGORIES",
        "\"CONFIG",
        "\"METRICS#",
        "\"TAGS",
        "\"FAMILY#",
        "\"DUE#",
        "\"TASKS#",
        "\"TOKEN#",
        "\"CLIENT",
        "\"OIDC#",
        "\"FAILED",
        "\"JWKS",
        "\"RESTORE",
        "\"PROFILE",
        "\"PASSWORD",
        "\"SCHEMA",
        "\"VERSION",
        "\"MIGRATION#",
        "\"LOCK",
    ] {
        only_in(
            prefix,
            &["shared/src", "functions"],
            &["shared/src/store/keys.rs"],
        );
    }
}

#[test]
fn models_do_no_io() {
    for word in [
        "crate::store",
        "crate::http",
        "aws_sdk",
        "tokio::",
        "std::fs",
        "std::net",
        "axum",
    ] {
        only_in(word, &["shared/src/models"], &[]);
    }
}

#[test]
fn no_handler_enqueues_by_hand() {
    only_in(
        "queue.send",
        &["shared/src", "functions"],
        &["shared/src/store/"],
    );
    only_in(
        "queue.announce",
        &["shared/src", "functions"],
        &["shared/src/store/transaction.rs"],
    );
    only_in(".queue()", &["functions"], &["functions/worker/"]);
    only_in(
        "aws_sdk_sqs",
        &["shared/src", "functions"],
        &["shared/src/tasks.rs", "shared/src/aws.rs"],
    );
}

#[test]
fn the_configuration_reads_what_the_template_sets() {
    let asked = RefCell::new(BTreeSet::new());
    let _ = Config::from_lookup(|name| {
        asked.borrow_mut().insert(name.to_owned());
        None
    });
    for function in &template().functions {
        for name in function.variables.keys() {
            assert!(asked.borrow().contains(name), "nobody reads {name}");
        }
    }
}

#[test]
fn the_defaults_are_those_of_the_template() {
    let required = [
        ("AWS_REGION", "eu-central-1"),
        ("AWS_ACCESS_KEY_ID", "id"),
        ("AWS_SECRET_ACCESS_KEY", "key"),
        ("APP_TABLE", "app"),
        ("TASK_QUEUE_URL", "https://queue"),
    ];
    let mut templated = BTreeMap::new();
    for function in &template().functions {
        for (name, variable) in &function.variables {
            if let Variable::Text(text) = variable {
                templated.insert(name.clone(), text.clone());
            }
        }
    }
    assert!(
        templated.contains_key("LOGIN_LIMIT_PER_MINUTE"),
        "{templated:?}"
    );
    let with = |set: &BTreeMap<String, String>| {
        let config = Config::from_lookup(|name| {
            let known = required.iter().find(|(n, _)| *n == name);
            known
                .map(|(_, v)| (*v).to_owned())
                .or_else(|| set.get(name).cloned())
        });
        format!("{:?}", config.unwrap())
    };
    assert_eq!(with(&BTreeMap::new()), with(&templated));
}
