//! The README's tour, run line by line as a reader would paste it.

use std::process::Command;

use crate::bundle::{Bundle, root};

pub(crate) fn works_as_it_is_printed(bundle: &Bundle) {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let tour = readme
        .split("\n## ")
        .find(|part| part.starts_with("A five-minute tour"));
    let tour = tour.expect("README.md has a tour");
    let blocks: Vec<_> = tour.split("```sh\n").skip(1).collect();
    let blocks = blocks
        .iter()
        .map(|block| block.split("```").next().unwrap());
    let script: String = blocks.collect();
    assert!(script.contains("curl"), "the tour has no curl");
    let script = script.replace("http://127.0.0.1:9000", &bundle.url(""));

    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", &script])
        .current_dir(&bundle.data)
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{printed}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let told = [
        "\"status\":\"healthy\"",
        "\"email\":\"ada@lovelace.org\"",
        "\"code\":\"email_taken\"",
        "\"token_type\":\"bearer\"",
        "x-process-time: ",
        "\"desired_name\":\"Countess\"",
        "\"kind\":\"verification_mail\"",
        "\"recent_activity\":[{",
        "\"title\":\"Difference engine\"",
        "\"total_price\":20229.99",
        "\"current\":true",
        "belongs to a session that has ended",
        "HTTP/1.1 202",
        "\"code\":\"validation_failed\"",
        "\"code\":\"token_missing\"",
        "\"code\":\"not_found\"",
        "\"crv\":\"Ed25519\"",
        "\"openapi\":\"3.1",
    ];
    for expected in told {
        assert!(
            printed.contains(expected),
            "{expected} is missing in:\n{printed}"
        );
    }
}
