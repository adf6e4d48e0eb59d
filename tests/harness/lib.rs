//! The stage for the stories: a whole bundle in process, and the actors who use it.
//!
//! [`Stage::new`] gives each test tables and a queue of its own in one local AWS. Requests travel as the events
//! that API Gateway sends, through the real decoder, to the function that `template.yaml` names for their path.
//! Actors speak HTTP only. What no route tells, as which tasks were written, the stage reads from the tables.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a harness that fails is a test that fails"
)]

mod actor;
mod answer;
pub mod faults;
mod gateway;
mod instance;
mod mail;
pub mod permissions;
mod runtime_api;
mod stage;
mod stripe;

pub use actor::Actor;
pub use answer::Answer;
pub use gateway::{Gateway, function_of};
pub use instance::Instance;
pub use mail::{Mail, MailFolder, token_hash};
pub use runtime_api::RuntimeApi;
pub use stage::{PASSWORD, SECRET, Stage, routers, s3_wants_signatures, template};
pub use stripe::{IntentState, StripeServer};
