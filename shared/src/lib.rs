//! What all functions share: configuration, application state, errors, HTTP, auth, models and storage.
//!
//! Data flows one way: a function's handler calls [`models`] for rules and [`store`] for data; neither
//! knows about HTTP, and models do no I/O. Only [`config`] reads the environment, only [`store`] knows
//! DynamoDB, and every key string is made in `store/keys.rs`.

pub mod app;
pub mod auth;
pub mod aws;
pub mod bucket;
pub mod cache;
pub mod clock;
pub mod config;
pub mod error;
pub mod events;
pub mod files;
pub mod http;
pub mod ids;
pub mod lambda;
pub mod leases;
pub mod media;
pub mod metrics;
pub mod models;
pub mod payments;
pub mod ready;
pub mod service_client;
pub mod store;
pub mod tasks;
pub mod tls;
pub mod trace;
pub mod views;
pub mod wire;

pub use app::App;
pub use config::Config;
pub use error::{Context, Error, FieldError, Result};
