//! Whether it runs, and whether what it needs answers.

pub(crate) mod live;
pub(crate) mod ready;
