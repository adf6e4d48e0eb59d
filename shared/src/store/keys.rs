//! Every key string of both tables is made here. The README's table of access patterns mirrors this file.

use jiff::Timestamp;
use uuid::Uuid;

use super::oidc::OidcIdentity;

use crate::models::one_time_token::Purpose;
use crate::models::text::{Email, Username};

/// The primary key of an item.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    pub pk: String,
    pub sk: String,
}

/// An item that is alone in its partition has this sort key.
const ALONE: &str = "-";

fn alone(pk: String) -> Key {
    let sk = ALONE.to_owned();
    Key { pk, sk }
}

fn of_user(id: Uuid, sk: impl Into<String>) -> Key {
    let sk = sk.into();
    let pk = format!("USER#{id}");
    Key { pk, sk }
}

pub fn profile(user: Uuid) -> Key {
    of_user(user, "PROFILE")
}

pub fn session(user: Uuid, session: Uuid) -> Key {
    of_user(user, format!("SESSION#{session}"))
}

pub fn audit(user: Uuid, at: Timestamp, entry: Uuid) -> Key {
    // Always three digits after the second, so that the texts sort by time.
    of_user(user, format!("AUDIT#{at:.3}#{entry}"))
}

/// In the vault.
pub fn password(user: Uuid) -> Key {
    of_user(user, "PASSWORD")
}

/// In the vault: the refresh family of a session.
pub fn family(user: Uuid, session: Uuid) -> Key {
    of_user(user, format!("FAMILY#{session}"))
}

pub fn unique_email(email: &Email) -> Key {
    alone(format!("UNIQUE#EMAIL#{email}"))
}

pub fn unique_username(username: &Username) -> Key {
    alone(format!("UNIQUE#USERNAME#{}", username.folded()))
}

/// Where a name that nobody can have is looked for.
pub fn nobody() -> Key {
    alone("UNIQUE#NOBODY".to_owned())
}

pub fn task(id: Uuid) -> Key {
    alone(format!("TASK#{id}"))
}

/// The id of the task whose partition key this is.
pub fn task_id(pk: &str) -> Option<Uuid> {
    pk.strip_prefix("TASK#")?.parse().ok()
}

/// In the index `owned`.
pub fn tasks_of(user: Uuid) -> String {
    format!("TASKS#{user}")
}

/// In the vault: what a link in a mail may be used for, by the hash of its token.
pub fn one_time_token(purpose: Purpose, hash: &str) -> Key {
    let kind = match purpose {
        Purpose::VerifyEmail => "VERIFY_EMAIL",
        Purpose::ResetPassword => "RESET_PASSWORD",
        Purpose::AcceptInvitation => "ACCEPT_INVITATION",
    };
    alone(format!("TOKEN#{kind}#{hash}"))
}

/// In the vault.
pub fn client(id: Uuid) -> Key {
    alone(format!("CLIENT#{id}"))
}

/// In the vault: the partition that lists all service clients.
pub fn clients() -> String {
    "CLIENTS".to_owned()
}

pub fn listed_client(id: Uuid) -> Key {
    let sk = id.to_string();
    Key { pk: clients(), sk }
}

/// In the vault: how many service clients there are.
pub fn client_counter() -> Key {
    alone("COUNT#CLIENT".to_owned())
}

/// Whose identity at a provider this is.
pub fn unique_oidc(identity: &OidcIdentity) -> Key {
    let OidcIdentity { provider, hash } = identity;
    alone(format!("UNIQUE#OIDC#{provider}#{hash}"))
}

/// The same identity beside its user.
pub fn oidc(user: Uuid, identity: &OidcIdentity) -> Key {
    let OidcIdentity { provider, hash } = identity;
    of_user(user, format!("OIDC#{provider}#{hash}"))
}

/// In the vault: a login that is on its way to a provider, by the hash of its state.
pub fn oidc_state(hash: &str) -> Key {
    alone(format!("OIDC#{hash}"))
}

/// Counters are split so that many writers do not wait for each other.
const COUNTER_SHARDS: u8 = 10;

/// The part of the count of users that this user is counted in.
pub fn user_counter(user: Uuid) -> Key {
    alone(format!(
        "COUNT#USER#{}",
        user.as_bytes()[15] % COUNTER_SHARDS
    ))
}

/// `window` is the number of the window since the epoch.
pub fn rate(rule: &str, subject: &str, window: u64) -> Key {
    alone(format!("RATE#{rule}#{subject}#{window}"))
}

/// The public signing keys.
pub fn jwks() -> Key {
    alone("JWKS".to_owned())
}

/// The index of unfinished tasks is split for the same reason as counters.
const DUE_SHARDS: u8 = 4;

/// In the index `tasks`: where an unfinished task waits.
pub fn due_tasks(task: Uuid) -> String {
    format!("DUE#{}", task.as_bytes()[15] % DUE_SHARDS)
}

/// All of them, beginning with another for each `first`.
pub fn due_task_lists(first: usize) -> impl Iterator<Item = String> {
    let shards = usize::from(DUE_SHARDS);
    (0..shards).map(move |shard| format!("DUE#{}", (first + shard) % shards))
}

/// In the index `tasks`: where a task is listed that was given up.
pub fn failed_tasks() -> String {
    "FAILED".to_owned()
}
