//! What goes wrong at a start is told in one sentence that says what to do.

use std::process::Command;

use crate::bundle::Bundle;

/// Runs a `cargo dev` that must fail, and answers the one line that it says on standard error.
fn failing(mut command: Command) -> String {
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let told = String::from_utf8(output.stderr).unwrap();
    let told = told.trim().to_owned();
    assert_eq!(told.lines().count(), 1, "{told}");
    assert!(
        !told.contains("backtrace") && !told.contains("panicked"),
        "{told}"
    );
    told
}

pub(crate) fn a_port_in_use_is_told_in_one_sentence(bundle: &Bundle) {
    let port = bundle.port.to_string();
    let told = failing(bundle.command(&["--port", &port, "--ephemeral"]));
    assert!(told.contains(&format!("port {port}")), "{told}");
    assert!(told.contains("--port"), "{told}");
}

pub(crate) fn data_in_use_is_told_in_one_sentence(bundle: &Bundle) {
    let data = bundle.data.display().to_string();
    let told = failing(bundle.command(&["--port", "9900", "--data", &data]));
    assert!(told.contains("another `cargo dev`"), "{told}");
}

pub(crate) fn an_unusable_folder_is_told_in_one_sentence(bundle: &Bundle) {
    let file = bundle.data.join("a-file");
    std::fs::write(&file, "not a folder").unwrap();
    let told = failing(bundle.command(&["--port", "9900", "--data", &file.display().to_string()]));
    assert!(
        told.contains("cannot be used") && told.contains("delete it"),
        "{told}"
    );
    std::fs::remove_file(file).unwrap();
}
