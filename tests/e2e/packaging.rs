//! What is deployed: one `bootstrap` a function, built by cargo-lambda as SAM has it built.

use std::process::Command;

use local::cargo_lambda;
use local::processes::Family;

use crate::bundle::{Bundle, root};

/// Unoptimised and for this machine, because the real thing takes minutes; the way is the same.
pub(crate) fn every_function_becomes_a_bootstrap(_: &Bundle) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let family = Family::unique();
    let tools = root().join(".local/tools");
    let found = cargo_lambda::find_or_install(&family, &tools, |_| {});
    let tool = runtime.block_on(found).unwrap();

    let mut build = Command::new(&tool.program);
    build.args([
        "lambda",
        "build",
        "--quiet",
        "--compiler",
        "cargo",
        "--output-format",
        "zip",
    ]);
    for function in &tests::template().functions {
        build.args(["--bin", &function.name]);
    }
    for name in local::shell::variables_of_cargo_run() {
        build.env_remove(name);
    }
    let packages = root().join("target/lambda");
    let _ = std::fs::remove_dir_all(&packages);
    let status = build.current_dir(root()).status().unwrap();
    assert!(status.success(), "{build:?} ended with {status}");
    for function in &tests::template().functions {
        let zip = packages.join(&function.name).join("bootstrap.zip");
        let bytes = std::fs::read(&zip).unwrap();
        let name = b"bootstrap";
        assert!(
            bytes.windows(name.len()).any(|part| part == name),
            "{}",
            zip.display()
        );
    }
}
