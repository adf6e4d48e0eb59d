//! Progress on a terminal: a line for each step, with a spinner while it takes. Elsewhere the lines alone.

use std::fmt::Display;
use std::time::Duration;

use console::style;
use indicatif::ProgressBar;

/// A step that has begun.
pub(crate) struct Step {
    name: &'static str,
    spinner: ProgressBar,
}

pub(crate) fn title(text: &str) {
    println!("{}", style(text).bold());
}

/// Begins a step. Nothing else may be printed until it is done, unless through [`Step::say`].
pub(crate) fn step(name: &'static str) -> Step {
    let spinner = ProgressBar::new_spinner().with_message(name);
    spinner.enable_steady_tick(Duration::from_millis(100));
    Step { name, spinner }
}

impl Step {
    /// Shows what takes time.
    pub(crate) fn say(&self, text: &str) {
        if self.spinner.is_hidden() {
            println!("  … {text}");
        } else {
            self.spinner.set_message(text.to_owned());
        }
    }

    pub(crate) fn done(self, what: impl Display) {
        self.spinner.finish_and_clear();
        println!("  {} {:<13} {what}", style("✓").green(), self.name);
    }
}

/// A step whose own output goes to the terminal.
pub(crate) fn begin(what: &str) {
    println!("  … {what}");
}

pub(crate) fn done(name: &str, what: impl Display) {
    println!("  {} {name:<13} {what}", style("✓").green());
}

pub(crate) fn note(text: &str) {
    println!("  {} {text}", style("!").yellow());
}

pub(crate) fn row(name: &str, value: impl Display) {
    println!("  {:<15} {value}", style(name).bold());
}

/// What stands before an error.
pub(crate) fn failure() -> impl Display {
    style("error:").red().bold().for_stderr()
}
