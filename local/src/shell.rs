//! What the developer's shell says. Nothing else of this package reads the environment.

#![expect(
    clippy::disallowed_methods,
    reason = "shared::config reads the environment of functions; this is about the developer's"
)]

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

/// The value of a variable, if it is set to something.
pub fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// The folders in which programs are looked for, in order.
pub fn search_path() -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).collect()
}

/// The variables by which a `cargo run` or `cargo test` tells this process about its own package. To another cargo
/// they would be a reason to build things again.
pub fn variables_of_cargo_run() -> Vec<OsString> {
    let names = env::vars_os().map(|(name, _)| name);
    let of_this_package = |name: &OsString| {
        name.to_str().is_some_and(|name| {
            name.starts_with("CARGO_PKG_")
                || name.starts_with("CARGO_MANIFEST_")
                || name.starts_with("CARGO_BIN_")
                || name == "CARGO_CRATE_NAME"
                || name == "CARGO_PRIMARY_PACKAGE"
        })
    };
    names.filter(of_this_package).collect()
}
