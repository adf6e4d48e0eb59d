//! The rules of the house: what a user, a role, a password may be. Models do no I/O.

pub mod audit;
pub mod category;
pub mod client;
pub mod file;
pub mod item;
pub mod money;
pub mod one_time_token;
pub mod order;
pub mod page;
pub mod password;
pub mod role;
pub mod search;
pub mod session;
pub mod setting;
pub mod text;
pub mod time;
pub mod user;

pub use category::Category;
pub use item::{Item, ItemStatus};
pub use order::Order;
pub use role::{Role, Scope};
pub use user::User;
