//! The stories: what actors do through the public API, and what they see. What all functions share has files of
//! its own: `bad_input.rs`, `events.rs`, and the rules of the house in `house.rs`. `aws.rs` and
//! `people.rs` have no stories.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod administration;
mod auth;
mod aws;
mod bad_input;
mod books;
mod catalogue;
mod categories;
mod config;
mod events;
mod faults;
mod files;
mod house;
mod import;
mod items;
mod limits;
mod mail;
mod metrics;
mod migrations;
mod oauth;
mod oidc;
mod openapi;
mod operations;
mod orders;
mod payments;
mod people;
mod profiles;
mod recovery;
mod rotation;
mod search;
mod sessions;
mod system;
mod tasks;
mod tokens;
mod traces;
mod users;
mod versions;
