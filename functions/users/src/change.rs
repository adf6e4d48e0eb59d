//! Changing and deleting users: what the routes for oneself and those for administrators have in common.

use axum::response::Response;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use shared::auth::{CurrentUser, OneTimeToken};
use shared::http::{Patch, RequestInfo, etag};
use shared::models::audit::AuditEntry;
use shared::models::text::{Email, Name, Phone, Username, Website};
use shared::models::{Role, Scope, User};
use shared::store::rates::Rule;
use shared::store::tasks::NewTask;
use shared::tasks::Task;
use shared::{App, Error, Result, wire};
use utoipa::ToSchema;
use uuid::Uuid;

pub(crate) const NOT_FOUND: Error = Error::NotFound("user of this id");

/// The user of this id, unless they were deleted.
pub(crate) async fn find(app: &App, id: Uuid) -> Result<User> {
    let user = app.store.user(id).await?;
    user.filter(|user| !user.is_deleted()).ok_or(NOT_FOUND)
}

/// Refuses to let somebody change an administrator who is none themselves, or make somebody one: otherwise they could
/// give themselves what they may not do.
pub(crate) fn check_rank(current: &CurrentUser, roles: &[Role]) -> Result<()> {
    match roles.contains(&Role::Admin) {
        true => current.require(Scope::AdminAll),
        false => Ok(()),
    }
}

/// Writes what has become of a user, if it is anything new, and answers the user. `asks_again` for the link to the address
/// that they have asked for before.
pub(crate) async fn save(
    app: &App,
    (info, headers): (&RequestInfo, &HeaderMap),
    actor: Uuid,
    before: User,
    mut after: User,
    asks_again: bool,
) -> Result<Response> {
    etag::check_if_match(headers, before.version)?;
    let is_asked = asks_again || before.pending_email != after.pending_email;
    if let Some(wanted) = after.pending_email.as_ref().filter(|_| is_asked) {
        limit_addresses(app, info, after.id, wanted).await?;
    }
    if after != before {
        after.version += 1;
        after.updated_at = app.clock.now();
        let action = action(&before, &after);
        let audit = AuditEntry::new(action, Some(actor), &info.ip().to_string());
        let audit = audit.with_changes(&before, &after);
        let updated = app.store.update_user(&before, &after, &audit).await;
        updated.map_err(etag::lost_race(headers))?;
    }
    if asks_again {
        let task = Task::VerificationMail { user_id: after.id };
        let task = NewTask::new(task).owned_by(after.id);
        app.store.add_task(&task).await?;
    }
    Ok(etag::respond(
        &HeaderMap::new(),
        after.version,
        wire::User::from(after),
    ))
}

/// What the audit trail calls a change.
fn action(before: &User, after: &User) -> &'static str {
    let asked_only = User {
        pending_email: before.pending_email.clone(),
        version: before.version,
        updated_at: before.updated_at,
        ..after.clone()
    };
    match (before.is_active, after.is_active) {
        (true, false) => "user.deactivated",
        (false, true) => "user.activated",
        _ if after.pending_email.is_some() && asked_only == *before => "user.email_change_asked",
        _ => "user.updated",
    }
}

/// Closes an account: its sessions end, its names are free, and a task erases the rest.
pub(crate) async fn delete(
    app: &App,
    info: &RequestInfo,
    headers: &HeaderMap,
    actor: Uuid,
    user: User,
) -> Result<StatusCode> {
    etag::check_if_match(headers, user.version)?;
    let now = app.clock.now();
    let after = User {
        is_active: false,
        pending_email: None,
        deleted_at: Some(now),
        updated_at: now,
        version: user.version + 1,
        ..user.clone()
    };
    let audit = AuditEntry::new("user.deleted", Some(actor), &info.ip().to_string());
    let deleted = app.store.update_user(&user, &after, &audit).await;
    deleted.map_err(etag::lost_race(headers))?;
    Ok(StatusCode::NO_CONTENT)
}

/// Limits the mails that a user can cause, and those to one address, which may be a stranger's.
async fn limit_addresses(app: &App, info: &RequestInfo, user: Uuid, wanted: &Email) -> Result<()> {
    let rule = Rule {
        name: "email",
        limit: app.config.limits.recoveries_per_hour,
        seconds: 3_600,
    };
    let now = app.clock.now();
    let by_user = rule.window(&user.to_string(), now);
    info.note_limit(app.store.take(&by_user).await?);
    // A counter's key needs no address in it.
    let hash = OneTimeToken::hash_of(wanted.as_str());
    app.store.take(&rule.window(&hash, now)).await?;
    Ok(())
}

/// What people may change about themselves.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"desired_name": "Countess", "website": "example.com/ada", "phone": null}))]
pub(crate) struct ProfileChange {
    #[serde(default)]
    #[schema(value_type = Email, required = false)]
    pub(crate) email: Patch<Email>,
    #[serde(default)]
    #[schema(value_type = Option<Username>)]
    pub(crate) username: Patch<Username>,
    #[serde(default)]
    #[schema(value_type = Option<Name>)]
    pub(crate) first_name: Patch<Name>,
    #[serde(default)]
    #[schema(value_type = Option<Name>)]
    pub(crate) last_name: Patch<Name>,
    #[serde(default)]
    #[schema(value_type = Option<Name>)]
    pub(crate) full_name: Patch<Name>,
    #[serde(default)]
    #[schema(value_type = Option<Name>)]
    pub(crate) desired_name: Patch<Name>,
    #[serde(default)]
    #[schema(value_type = Option<Phone>)]
    pub(crate) phone: Patch<Phone>,
    #[serde(default)]
    #[schema(value_type = Option<Website>)]
    pub(crate) website: Patch<Website>,
}

impl ProfileChange {
    /// Whether it asks for the address that the user has asked for before.
    pub(crate) fn asks_again(&self, user: &User) -> bool {
        matches!(&self.email, Patch::Set(email) if user.pending_email.as_ref() == Some(email))
    }

    /// The user with what is changed. Another address is only asked for; the one that they have takes that back.
    pub(crate) fn apply(self, mut user: User) -> Result<User> {
        match self.email {
            Patch::Keep => {}
            Patch::Clear => return Err(null("email")),
            Patch::Set(email) if email == user.email => user.pending_email = None,
            Patch::Set(email) => user.pending_email = Some(email),
        }
        self.username.apply(&mut user.username);
        self.first_name.apply(&mut user.first_name);
        self.last_name.apply(&mut user.last_name);
        self.full_name.apply(&mut user.full_name);
        self.desired_name.apply(&mut user.desired_name);
        self.phone.apply(&mut user.phone);
        self.website.apply(&mut user.website);
        user.complete_full_name();
        Ok(user)
    }
}

/// What is wrong with a field that cannot be cleared.
pub(crate) fn null(field: &str) -> Error {
    Error::invalid(field, "required", "must not be null")
}
