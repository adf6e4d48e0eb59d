//! A Python with what a story needs of its packages.

use std::path::PathBuf;
use std::process::Command;

use crate::bundle::root;

/// A Python that can import `module`: the one of `.ci/run`, the developer's, or else one of these stories' own, into
/// which `packages` are installed.
pub(crate) fn with(module: &str, packages: &str) -> PathBuf {
    let target = root().join("target");
    let environment = target.join(format!("python-{module}"));
    let own = environment.join("bin/python");
    let pythons = [
        target.join("ci-tools/bin/python"),
        "python3".into(),
        own.clone(),
    ];
    let import = format!("import {module}");
    let can_import = |python: &PathBuf| run(Command::new(python).args(["-c", &import])).is_ok();
    if let Some(python) = pythons.into_iter().find(can_import) {
        return python;
    }
    let made = run(Command::new("python3")
        .args(["-m", "venv"])
        .arg(&environment));
    let mut install = Command::new(&own);
    install.args(["-m", "pip", "install", "--quiet"]);
    install.args(packages.split(' '));
    if let Err(complaint) = made.and_then(|()| run(&mut install)) {
        panic!(
            "this story needs a Python 3 with {packages}, and none could be made in {}: {complaint}",
            environment.display()
        );
    }
    own
}

/// Runs a program without a word, and fails with what it complained about.
fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(String::from_utf8_lossy(&said).trim().to_owned())
}
