//! What the developer's shell says. Nothing else of this package reads the environment.

#![expect(
    clippy::disallowed_methods,
    reason = "shared::config reads the environment of functions; this is about the developer's"
)]

use std::env;
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
