//! Routes of version 2. What they share with version 1 stays where it is.

pub(crate) mod list;
