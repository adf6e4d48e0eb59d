//! Every key string of both tables is made here. The README's table of access patterns mirrors this file.

use jiff::Timestamp;
use uuid::Uuid;

use super::oidc::OidcIdentity;

use crate::models::Role;
use crate::models::item::{ItemStatus, Tag};
use crate::models::one_time_token::Purpose;
use crate::models::order::OrderStatus;
use crate::models::setting::SettingKey;
use crate::models::text::{Email, Username};

/// The primary key of an item.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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

/// What the partition keys of users begin with.
pub const USER: &str = "USER#";

fn of_user(id: Uuid, sk: impl Into<String>) -> Key {
    let sk = sk.into();
    let pk = format!("{USER}{id}");
    Key { pk, sk }
}

pub fn profile(user: Uuid) -> Key {
    of_user(user, "PROFILE")
}

/// Whose profile this is the key of.
pub fn user_id(key: &Key) -> Option<Uuid> {
    key.pk.strip_prefix(USER)?.parse().ok()
}

pub fn session(user: Uuid, session: Uuid) -> Key {
    of_user(user, format!("SESSION#{session}"))
}

pub fn audit(user: Uuid, at: Timestamp, entry: Uuid) -> Key {
    // Always three digits after the second, so that the texts sort by time.
    of_user(user, format!("{PAST}{at:.3}#{entry}"))
}

/// What the sort keys of audit entries begin with. They stand just before `PREFERENCES`, and nothing may stand between, so
/// that one query reads these with what happened last.
pub const PAST: &str = "PAST#";

/// What comes after all of them.
pub const AFTER_PAST: &str = "PAST$";

pub fn preferences(user: Uuid) -> Key {
    of_user(user, "PREFERENCES")
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

/// What the sort keys of identities begin with.
pub const IDENTITY: &str = "OIDC#";

/// The same identity beside its user.
pub fn oidc(user: Uuid, identity: &OidcIdentity) -> Key {
    let OidcIdentity { provider, hash } = identity;
    of_user(user, format!("{IDENTITY}{provider}#{hash}"))
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

/// All the parts.
pub fn user_counters() -> impl Iterator<Item = Key> {
    (0..COUNTER_SHARDS).map(|shard| alone(format!("COUNT#USER#{shard}")))
}

/// How many active administrators there are: in one place, because one of them must be left.
pub fn admin_counter() -> Key {
    alone("COUNT#ADMIN".to_owned())
}

/// In the index `owned`: all users.
pub fn users() -> String {
    "USERS".to_owned()
}

/// In the index `listed`: the users of a role who are active, or who are not.
pub fn users_by_state(role: Role, is_active: bool) -> String {
    format!("USERS#{}", user_state(role, is_active))
}

/// The name of the counter, and of the list, of such users.
pub fn user_state(role: Role, is_active: bool) -> String {
    let state = if is_active { "active" } else { "inactive" };
    format!("{}_{state}", role.as_str())
}

/// The identity that stands beside its user with this sort key.
pub fn unique_oidc_of(sk: &str) -> Option<Key> {
    let identity = sk.strip_prefix(IDENTITY)?;
    Some(alone(format!("UNIQUE#OIDC#{identity}")))
}

pub fn file(id: Uuid) -> Key {
    let sk = "FILE".to_owned();
    let pk = format!("FILE#{id}");
    Key { pk, sk }
}

/// The file that this is the key of.
pub fn file_id(key: &Key) -> Option<Uuid> {
    key.pk.strip_prefix("FILE#")?.parse().ok()
}

/// In the index `owned`: what a user has stored.
pub fn files_of(user: Uuid) -> String {
    format!("FILES#{user}")
}

/// What the sort keys of orders begin with.
pub const ORDER: &str = "ORDER#";

/// What comes after all of them.
pub const AFTER_ORDER: &str = "ORDER$";

pub fn order(user: Uuid, order: Uuid) -> Key {
    of_user(user, format!("{ORDER}{order}"))
}

/// In the index `owned`: all orders.
pub fn orders() -> String {
    "ORDERS".to_owned()
}

/// In the index `listed`: the orders of a status.
pub fn orders_by_status(status: OrderStatus) -> String {
    format!("ORDERS#{}", status.as_str())
}

/// What a user has sent with this key to a route, and the answer. Erased with the user.
pub fn idempotency(user: Uuid, route: &str, key: &str) -> Key {
    of_user(user, format!("IDEMPOTENCY#{route}#{key}"))
}

pub fn item(id: Uuid) -> Key {
    let sk = "ITEM".to_owned();
    let pk = format!("ITEM#{id}");
    Key { pk, sk }
}

/// Which items a list is of, beside their status.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ItemList {
    All,
    OfOwner(Uuid),
    InCategory(Uuid),
    Tagged(Tag),
    Featured,
}

/// The partition of a list of items, and in the index `priced` that of the same list by price.
pub fn item_list(status: ItemStatus, list: &ItemList) -> String {
    let status = status.as_str();
    match list {
        ItemList::All => format!("ITEMS#{status}"),
        ItemList::OfOwner(owner) => format!("ITEMS#{status}#OWNER#{owner}"),
        ItemList::InCategory(category) => format!("ITEMS#{status}#CATEGORY#{category}"),
        ItemList::Tagged(tag) => format!("ITEMS#{status}#TAG#{tag}"),
        ItemList::Featured => format!("ITEMS#{status}#FEATURED"),
    }
}

/// The place of an item in a list. Ids are in the order of creation.
pub fn listed_item(list: String, id: Uuid) -> Key {
    let sk = id.to_string();
    Key { pk: list, sk }
}

/// The item that a place in a list is of.
pub fn listed_id(key: &Key) -> Option<Uuid> {
    key.sk.parse().ok()
}

/// In the index `viewed`: the active items that were looked at.
pub fn viewed_items() -> String {
    "ITEMS".to_owned()
}

/// The parts of the count of items.
const ITEM_COUNTER_SHARDS: u8 = 4;

/// The part of the count of items that this item is counted in.
pub fn item_counter(item: Uuid) -> Key {
    alone(format!(
        "COUNT#ITEM#{}",
        item.as_bytes()[15] % ITEM_COUNTER_SHARDS
    ))
}

/// All the parts.
pub fn item_counters() -> impl Iterator<Item = Key> {
    (0..ITEM_COUNTER_SHARDS).map(|shard| alone(format!("COUNT#ITEM#{shard}")))
}

/// The partition of all categories.
pub fn categories() -> String {
    "CATEGORIES".to_owned()
}

pub fn category(id: Uuid) -> Key {
    let sk = id.to_string();
    Key {
        pk: categories(),
        sk,
    }
}

/// How often the tree of categories has changed. Stands with them, so that one query reads both.
pub fn category_tree() -> Key {
    let sk = "TREE".to_owned();
    Key {
        pk: categories(),
        sk,
    }
}

/// The partition of all settings.
pub fn settings() -> String {
    "CONFIG".to_owned()
}

pub fn setting(key: &SettingKey) -> Key {
    let sk = key.to_string();
    Key { pk: settings(), sk }
}

/// What all instances have counted is split for the same reason as counters.
pub const METRIC_SHARDS: u8 = 4;

/// The partition of a part of what was counted.
pub fn metrics(shard: u8) -> String {
    format!("METRICS#{shard}")
}

/// A row of what was counted.
pub fn metric(shard: u8, row: &str) -> Key {
    let sk = row.to_owned();
    let pk = metrics(shard);
    Key { pk, sk }
}

/// The partition of all tags that an active item has.
pub fn tags() -> String {
    "TAGS".to_owned()
}

pub fn tag(tag: &Tag) -> Key {
    let sk = tag.to_string();
    Key { pk: tags(), sk }
}

/// A row of the search: a suffix, and whose it is.
pub fn search_row(kind: &str, suffix: &str, id: Uuid) -> Key {
    // A word holds no space, so the space ends the suffix.
    let sk = format!("{suffix} {id}");
    let pk = search_partition(kind, suffix);
    Key { pk, sk }
}

/// Where the rows are whose suffix begins with `prefix`, of at least two characters.
pub fn search_partition(kind: &str, prefix: &str) -> String {
    let start: String = prefix.chars().take(2).collect();
    format!("SUFFIX#{kind}#{start}")
}

/// What is known of the rows of one thing.
pub fn search_record(kind: &str, id: Uuid) -> Key {
    alone(format!("SEARCH#{kind}#{id}"))
}

/// What a restore has done so far. There only until it has done all.
pub fn restore() -> Key {
    alone("RESTORE".to_owned())
}

/// Whether an item belongs to where it is and not to what is kept there: counts of the rate limits, which are over soon,
/// the public keys, which follow from the secret, and the state of a restore. A copy of the tables has no use for them.
pub fn stays(pk: &str) -> bool {
    pk.starts_with(RATE) || [jwks().pk, restore().pk].contains(&pk.to_owned())
}

const RATE: &str = "RATE#";

/// `window` is the number of the window since the epoch.
pub fn rate(rule: &str, subject: &str, window: u64) -> Key {
    alone(format!("{RATE}{rule}#{subject}#{window}"))
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

/// What is known of the schema of both tables.
fn of_schema(sk: String) -> Key {
    let pk = "SCHEMA".to_owned();
    Key { pk, sk }
}

/// The version that both tables have reached.
pub fn schema_version() -> Key {
    of_schema("VERSION".to_owned())
}

/// What the sort keys of runs begin with.
pub const MIGRATION: &str = "MIGRATION#";

/// One run of a migration, up or down.
pub fn migration_run(number: u32, run: Uuid) -> Key {
    of_schema(format!("{MIGRATION}{number:04}#{run}"))
}

/// Who may migrate.
pub fn schema_lock() -> Key {
    of_schema("LOCK".to_owned())
}
