//! Sessions and their refresh families.
//!
//! A session has a public part in `app`, which each request reads, and a secret one in the vault: the family of its
//! refresh tokens, of which one generation after the other is the newest.

use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::accounts::Account;
use super::change::{Updated, number, stored, text};
use super::keys::Key;
use super::rates::Window;
use super::{Change, Item, Store, Table, Transaction, failed, from_item, keys};
use crate::auth::RefreshToken;
use crate::config::Hidden;
use crate::error::{Error, Result};
use crate::models::User;
use crate::models::audit::AuditEntry;
use crate::models::session::{LIFETIME, Session};

/// How long the refresh token before the newest may come again: its answer was lost, or another tab had it too.
const GRACE: SignedDuration = SignedDuration::from_secs(10);

/// The most sessions that a list shows.
const MOST_LISTED: usize = 100;

/// The secret side of a session: which generation of its refresh token is the newest.
#[derive(Debug, Serialize, Deserialize)]
struct Family {
    session: Uuid,
    /// The user's when the session began.
    epoch: u64,
    generation: u32,
    rotated_at: Timestamp,
    /// When it ends and DynamoDB may drop it, in seconds since the epoch.
    ttl: i64,
}

/// A session as it is stored: with the time after which DynamoDB may drop it.
#[derive(Serialize)]
struct StoredSession<'a> {
    #[serde(flatten)]
    session: &'a Session,
    ttl: i64,
}

/// What came of a refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// This generation is the newest now.
    Rotated {
        generation: u32,
        epoch: u64,
        ends_at: i64,
    },
    /// It was used before: somebody has a copy of it.
    Reused,
    /// Its session has ended.
    Ended,
}

/// A session that lives, and when it was refreshed last.
#[derive(Debug)]
pub struct LiveSession {
    pub session: Session,
    pub last_used_at: Timestamp,
}

impl Store {
    /// Counts a login that failed, for the address it came from and for the name it was for. A transaction like the one
    /// of a login that succeeds, so that a full window refuses both in the same time.
    pub async fn count_failed_login(&self, attempts: &Window, failures: &Window) -> Result<()> {
        self.transaction()
            .update(Table::App, attempts.key(), attempts.count())
            .on_conflict(Error::RateLimited(attempts.state(u32::MAX)))
            .update(Table::App, failures.key(), failures.count())
            .commit()
            .await
    }

    /// Begins a session with a password and counts the login that led to it, in one transaction over both tables.
    /// A window that has filled up meanwhile refuses it, and so does a password that was changed meanwhile. A
    /// `better_hash` replaces the password's.
    pub async fn begin_session(
        &self,
        account: &Account,
        session: &Session,
        attempts: &Window,
        better_hash: Option<&Hidden>,
        audit: &AuditEntry,
    ) -> Result<()> {
        let user = account.user.id;
        let password = keys::password(user);
        let old = account.password.as_ref().ok_or(Error::InvalidCredentials)?;
        let same = Change::new().if_equal("hash", text(old.hash.reveal()));
        let transaction = self
            .transaction()
            .update(Table::App, attempts.key(), attempts.count())
            .on_conflict(Error::RateLimited(attempts.state(u32::MAX)));
        let transaction = match better_hash {
            Some(hash) => {
                let better = same.set("hash", text(hash.reveal()));
                transaction.update(Table::Vault, &password, better)
            }
            None => transaction.check(Table::Vault, &password, same),
        };
        transaction
            .on_conflict(Error::InvalidCredentials)
            .session(user, session)
            .audit(user, audit)
            .commit()
            .await
    }

    /// Begins a session that another proof than a password has led to.
    pub async fn begin_session_of(
        &self,
        user: &User,
        session: &Session,
        audit: &AuditEntry,
    ) -> Result<()> {
        let active = Change::new().if_equal("is_active", AttributeValue::Bool(true));
        self.transaction()
            .check(Table::App, &keys::profile(user.id), active)
            .on_conflict(Error::AccountInactive)
            .session(user.id, session)
            .audit(user.id, audit)
            .commit()
            .await
    }

    /// Exchanges a refresh token for the next generation. One conditional update.
    ///
    /// The generation before the newest gives the same child again for ten seconds; any older one is [`Rotation::Reused`].
    pub async fn rotate(&self, token: &RefreshToken) -> Result<Rotation> {
        let now = self.clock.now();
        let change = Change::new()
            .set("rotated_at", stored(&now)?)
            .add("generation", 1)
            .if_equal("generation", number(token.generation.into()))
            .if_above("ttl", now.as_second());
        let key = keys::family(token.user, token.session);
        let rotated = self.update_in(
            Table::Vault,
            &key,
            change,
            ReturnValue::AllNew,
            "rotate a refresh token",
        );
        let family: Family = match rotated.await? {
            Updated::Done(item) => from_item(item)?,
            Updated::Refused(None) => return Ok(Rotation::Ended),
            Updated::Refused(Some(item)) => {
                let family: Family = from_item(item)?;
                if family.ttl <= now.as_second() {
                    return Ok(Rotation::Ended);
                }
                let is_parent = family.generation == token.generation.wrapping_add(1);
                if !is_parent || now.duration_since(family.rotated_at) > GRACE {
                    return Ok(Rotation::Reused);
                }
                family
            }
        };
        Ok(Rotation::Rotated {
            generation: family.generation,
            epoch: family.epoch,
            ends_at: family.ttl,
        })
    }

    /// Whose a refresh token is, if it is the newest of its session. One read over both tables; nothing is used up.
    pub async fn inspect_refresh(&self, token: &RefreshToken) -> Result<Option<(User, Session)>> {
        let RefreshToken {
            user,
            session,
            generation,
        } = *token;
        let profile = keys::profile(user);
        let (public, secret) = (keys::session(user, session), keys::family(user, session));
        let wanted = [
            (Table::App, &profile),
            (Table::App, &public),
            (Table::Vault, &secret),
        ];
        let [Some(profile), Some(public), Some(secret)] = self.batch_get(wanted).await? else {
            return Ok(None);
        };
        let family: Family = from_item(secret)?;
        if family.generation != generation || family.ttl <= self.clock.seconds() {
            return Ok(None);
        }
        Ok(Some((from_item(profile)?, from_item(public)?)))
    }

    /// Gives a session that was refreshed its whole lifetime again.
    pub async fn extend_session(&self, user: Uuid, session: Uuid) -> Result<()> {
        let ends_at = self.clock.now() + LIFETIME;
        let change = || Change::new().set("ttl", number(ends_at.as_second()));
        let public = change()
            .set("expires_at", stored(&ends_at)?)
            .if_exists("id");
        let secret = change().if_exists("generation");
        self.transaction()
            .update(Table::App, &keys::session(user, session), public)
            .on_conflict(Error::InvalidRefreshToken)
            .update(Table::Vault, &keys::family(user, session), secret)
            .on_conflict(Error::InvalidRefreshToken)
            .commit()
            .await
    }

    /// Ends one session at once: its access tokens by its public part, its refresh tokens with their family. 404 if it
    /// has ended before.
    pub async fn end_session(&self, user: Uuid, session: Uuid, audit: &AuditEntry) -> Result<()> {
        let revoked = Change::new()
            .set("revoked_at", stored(&self.clock.now())?)
            .if_exists("id")
            .if_absent("revoked_at");
        self.transaction()
            .update(Table::App, &keys::session(user, session), revoked)
            .on_conflict(Error::NotFound("session of this id"))
            .delete(Table::Vault, &keys::family(user, session))
            .audit(user, audit)
            .commit()
            .await
    }

    /// Ends every session of a user at once, but for one perhaps.
    pub async fn end_sessions(
        &self,
        user: Uuid,
        except: Option<Uuid>,
        audit: &AuditEntry,
    ) -> Result<()> {
        self.transaction()
            .end_sessions(user, except)
            .audit(user, audit)
            .commit()
            .await
    }

    /// The live sessions of a user, the newest first, at most a hundred. Read by their families, which go when a session
    /// is ended: however many have ended lately, none that lives is missing.
    pub async fn sessions_of(&self, user: &User) -> Result<Vec<LiveSession>> {
        let now = self.clock.seconds();
        let is_live =
            |family: &Family| family.ttl > now && !user.has_ended(family.session, family.epoch);
        let mut families: Vec<Family> = Vec::new();
        let mut start = None;
        loop {
            let (page, next) = self.families(user.id, start).await?;
            families.extend(page.into_iter().filter(is_live));
            start = next;
            if start.is_none() || families.len() >= MOST_LISTED {
                break;
            }
        }
        families.truncate(MOST_LISTED);
        let wanted: Vec<Key> = families
            .iter()
            .map(|family| keys::session(user.id, family.session))
            .collect();
        let public = self.batch_get_app(&wanted).await?;
        let mut live = Vec::new();
        for (family, public) in families.into_iter().zip(public) {
            let Some(public) = public else {
                continue;
            };
            let session: Session = from_item(public)?;
            if session.is_live(self.clock.now()) {
                live.push(LiveSession {
                    last_used_at: family.rotated_at,
                    session,
                });
            }
        }
        Ok(live)
    }

    /// A page of a user's families, the newest first, and where the next one starts.
    async fn families(
        &self,
        user: Uuid,
        start: Option<Item>,
    ) -> Result<(Vec<Family>, Option<Item>)> {
        let like = keys::family(user, Uuid::nil());
        let prefix = like.sk.trim_end_matches(&Uuid::nil().to_string());
        let request = self.client.query().table_name(self.name(Table::Vault)?);
        let request = request
            .key_condition_expression("pk = :pk AND begins_with(sk, :prefix)")
            .expression_attribute_values(":pk", text(&like.pk))
            .expression_attribute_values(":prefix", text(prefix))
            .scan_index_forward(false)
            .consistent_read(true)
            .set_exclusive_start_key(start);
        let output = request.send().await.map_err(failed("list sessions"))?;
        let families = output.items.unwrap_or_default().into_iter();
        let families = families.map(from_item).collect::<Result<_>>()?;
        Ok((families, output.last_evaluated_key))
    }
}

impl Transaction<'_> {
    /// Writes both parts of a new session.
    fn session(self, user: Uuid, session: &Session) -> Self {
        let ttl = session.expires_at.as_second();
        let family = Family {
            session: session.id,
            epoch: session.epoch,
            generation: 0,
            rotated_at: session.created_at,
            ttl,
        };
        self.create(
            Table::App,
            &keys::session(user, session.id),
            &StoredSession { session, ttl },
        )
        .create(Table::Vault, &keys::family(user, session.id), &family)
    }

    /// Ends every session of a user that has begun by now, but for one perhaps. One write, however many there are.
    pub(super) fn end_sessions(self, user: Uuid, except: Option<Uuid>) -> Self {
        let change = Change::new().next_epoch(except).if_exists("id");
        self.update(Table::App, &keys::profile(user), change)
            .on_conflict(Error::NotFound("user"))
    }
}

impl Change {
    pub(super) fn next_epoch(self, kept: Option<Uuid>) -> Self {
        let change = self.add("session_epoch", 1);
        match kept {
            Some(kept) => change.set("session_kept", text(&kept.to_string())),
            None => change.remove("session_kept"),
        }
    }
}
