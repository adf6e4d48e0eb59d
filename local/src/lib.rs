//! Sheaf without an AWS account: DynamoDB, SQS and S3 in one process, what `template.yaml` says should be in them, the
//! pump that turns queue messages into calls of the worker, and the runner of the functions.
//!
//! `cargo dev` (the binary of this package) puts them together; the tests use the parts. Nothing here is deployed.

pub mod aws;
pub mod template;

pub mod demo;
pub mod export;
pub mod import;
pub mod load;
pub mod migrate;
pub mod provision;
pub mod restore;
pub mod superuser;

pub mod pump;
pub mod schedule;

pub mod cargo_lambda;
pub mod environment;
pub mod processes;
pub mod shell;
pub mod watch;
