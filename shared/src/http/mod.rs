//! HTTP: what every request and response has in common, whichever function answers.

pub mod body;
mod deprecated;
pub mod etag;
mod id;
mod idempotency;
mod info;
mod page;
pub mod patch;
pub mod problem;
mod query;
mod wrapper;

pub use body::{Body, BodyOrForm};
pub use deprecated::{Deprecated, deprecated};
pub use id::Id;
pub use idempotency::{IdempotencyKey, KEPT, Remembered};
pub use info::RequestInfo;
pub use page::{ByCursor, PageOf, Paging};
pub use patch::Patch;
pub use problem::Problem;
pub use query::{FromParams, Params, Query};
pub use wrapper::{OwnBody, PREFIX, PREFIX_V2, wrap};
