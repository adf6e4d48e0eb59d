//! Files: a row before any object, so that each object has a row that leads to its removal.
//!
//! A row is written while nothing is stored yet, together with a task that looks at it once its time is over. When its bytes
//! are checked and stored, one transaction makes it visible, with what points to it. A deleted file is invisible at once; a
//! task removes its objects, and then the row. What a user may store is counted in their profile, in the same transactions.

use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use uuid::Uuid;

use super::change::{Updated, number, stored, text};
use super::items::StoredItem;
use super::keys::Key;
use super::listing::{Listing, Sort};
use super::tasks::{NewTask, following};
use super::{Change, Store, Table, Transaction, from_item, keys};
use crate::error::{Error, Result};
use crate::media::Resize;
use crate::models::Item;
use crate::models::audit::AuditEntry;
use crate::models::file::{File, FileStatus, MOST_IMAGES, Purpose};
use crate::models::page::{Page, Slice};
use crate::tasks::Task;

/// How long after it was begun a file is looked at, whatever became of it, in seconds. Later than anybody can complete it.
const CHECK_AFTER: i64 = 3_600;

/// How often a change is tried that others get in the way of.
const ATTEMPTS: u32 = 5;

/// A file as it is stored: with the list that it is in.
#[derive(Serialize)]
struct StoredFile<'a> {
    #[serde(flatten)]
    file: &'a File,
    /// The partition of the index `owned`.
    #[serde(skip_serializing_if = "Option::is_none")]
    owned_by: Option<String>,
}

impl<'a> StoredFile<'a> {
    fn of(file: &'a File) -> Self {
        let is_listed = file.status != FileStatus::Deleted;
        let owned_by = is_listed.then(|| keys::files_of(file.owner_id));
        Self { file, owned_by }
    }
}

/// How much a user may store.
#[derive(Clone, Copy, Debug)]
pub struct Quota {
    pub bytes: u64,
    pub files: u32,
}

impl Store {
    /// A file, whatever its status.
    pub async fn file(&self, id: Uuid) -> Result<Option<File>> {
        let item = self.get(Table::App, &keys::file(id)).await?;
        item.map(from_item).transpose()
    }

    /// Several, in the order of their ids.
    pub async fn files(&self, ids: &[Uuid]) -> Result<Vec<Option<File>>> {
        let wanted: Vec<_> = ids.iter().map(|id| keys::file(*id)).collect();
        let found = self.batch_get_app(&wanted).await?.into_iter();
        found.map(|file| file.map(from_item).transpose()).collect()
    }

    /// Begins files of one owner, of which nothing is stored yet, each with the task that looks at it later. 409
    /// `quota_exceeded` if they are too much.
    pub async fn begin_files(&self, files: &[File], quota: Quota) -> Result<()> {
        let Some(first) = files.first() else {
            return Ok(());
        };
        let (count, bytes) = (whole(files.len()), files.iter().map(size).sum::<i64>());
        let (files_left, bytes_left) = (
            i64::from(quota.files) - count,
            whole(quota.bytes).saturating_sub(bytes),
        );
        // What is not there yet is below any limit.
        if files_left < 0 || bytes_left < 0 {
            return Err(Error::QuotaExceeded);
        }
        let more = Change::new()
            .add("files", count)
            .add("file_bytes", bytes)
            .if_at_most("files", files_left)
            .if_at_most("file_bytes", bytes_left)
            // Nothing may come after what erases a user.
            .if_equal("is_active", AttributeValue::Bool(true));
        let transaction = self
            .transaction()
            .update(Table::App, &keys::profile(first.owner_id), more)
            .on_conflict(Error::QuotaExceeded);
        let transaction = files.iter().fold(transaction, |transaction, file| {
            let later = file.created_at + SignedDuration::from_secs(CHECK_AFTER);
            let file_id = file.id;
            transaction
                .create(Table::App, &keys::file(file.id), &StoredFile::of(file))
                .task(&NewTask::new(Task::CheckFile { file_id }).not_before(later))
        });
        transaction.commit().await
    }

    /// Lets a begun file be made by a task, once its input is stored. Answers the task's id.
    pub async fn begin_processing(&self, file: &File, resize: Resize) -> Result<Uuid> {
        let file_id = file.id;
        let task = NewTask::new(Task::ProcessImage { file_id, resize }).owned_by(file.owner_id);
        let is_pending = Change::new()
            .if_equal("status", text(FileStatus::Pending.as_str()))
            .if_equal("version", version(file));
        self.transaction()
            .check(Table::App, &keys::file(file.id), is_pending)
            .on_conflict(Error::Stale)
            .task(&task)
            .commit()
            .await?;
        Ok(task.id)
    }

    /// Makes begun files visible whose bytes are stored: from what was read of each to what it is then; all of one owner and
    /// one purpose. The avatar becomes the user's, and the one before goes; images become the item's.
    ///
    /// [`Error::Stale`] if another was faster with one of the files. 409 `limit_reached` if the item has too many images
    /// then, 404 if it is gone; 409 `quota_exceeded` if more was made of them than there is room for.
    pub async fn publish_files(
        &self,
        changes: &[(File, File)],
        quota: Quota,
        audit: &AuditEntry,
    ) -> Result<()> {
        let Some((_, first)) = changes.first() else {
            return Ok(());
        };
        for attempt in 0..ATTEMPTS {
            let more: i64 = changes.iter().map(|(old, new)| size(new) - size(old)).sum();
            let mut profile = Change::new()
                .add("file_bytes", more)
                .if_equal("is_active", AttributeValue::Bool(true));
            // What is stored may be larger than what was announced.
            let bytes_left = whole(quota.bytes).saturating_sub(more);
            if more > 0 {
                profile = profile.if_at_most("file_bytes", bytes_left);
            }
            let mut transaction = self.transaction();
            for (old, new) in changes {
                let change = changed(old, new)?;
                transaction = transaction
                    .update(Table::App, &keys::file(new.id), change)
                    .on_conflict(Error::Stale);
                let file_id = new.id;
                if !new.purpose.variants().is_empty() {
                    transaction = transaction.task(&NewTask::new(Task::MakeVariants { file_id }));
                }
            }
            let (profile, transaction) = match first.purpose {
                Purpose::Avatar => {
                    let user = self.user(first.owner_id).await?;
                    let user = user.ok_or(Error::AccountInactive)?;
                    let profile = profile
                        .set("avatar_id", text(&first.id.to_string()))
                        .set("updated_at", stored(&first.updated_at)?)
                        .add("version", 1)
                        .if_equal("version", AttributeValue::N(user.version.to_string()));
                    let before = user.avatar_id.map(|before| delete_task(before, first.id));
                    let transaction = match before {
                        Some(before) => transaction.task(&before),
                        None => transaction,
                    };
                    (profile, transaction)
                }
                Purpose::ItemImage { item_id } => {
                    let item = self.item(item_id).await?;
                    let item = item.ok_or(Error::NotFound("item of this id"))?;
                    let mut images = item.images.clone();
                    images.extend(changes.iter().map(|(_, file)| file.id));
                    if images.len() > MOST_IMAGES {
                        return Err(Error::LimitReached("images of this item"));
                    }
                    let transaction = transaction.images(&item, images, first.updated_at)?;
                    (profile, transaction)
                }
                Purpose::Upload | Purpose::Processed => (profile, transaction),
            };
            let committed = transaction
                .update(Table::App, &keys::profile(first.owner_id), profile)
                .on_conflict(Error::Busy)
                .audit(audit.actor.unwrap_or(first.owner_id), audit)
                .commit()
                .await;
            match committed {
                // The profile or the item has changed since it was read, or the account is closed.
                Err(Error::Busy) => {
                    let key = keys::profile(first.owner_id);
                    let profile = self.get(Table::App, &key).await?.unwrap_or_default();
                    if profile.get("is_active") != Some(&AttributeValue::Bool(true)) {
                        return Err(Error::AccountInactive);
                    }
                    let stored = profile
                        .get("file_bytes")
                        .and_then(|n| n.as_n().ok()?.parse().ok());
                    if more > 0 && stored.is_some_and(|stored: i64| stored > bytes_left) {
                        return Err(Error::QuotaExceeded);
                    }
                    super::back_off(attempt, "publish a file").await?;
                }
                committed => return committed,
            }
        }
        Err(Error::Busy)
    }

    /// Notes the variants of a ready file. 409 `stale` if it was changed meanwhile.
    pub async fn note_variants(&self, old: &File, new: &File) -> Result<()> {
        let key = keys::file(new.id);
        let noted = self.update(&key, changed(old, new)?, ReturnValue::None, "note variants");
        match noted.await? {
            Updated::Done(_) => Ok(()),
            Updated::Refused(_) => Err(Error::Stale),
        }
    }

    /// Makes a ready file invisible, with what points to it, and lets a task remove it. Nothing happens to one that is
    /// deleted already.
    pub async fn delete_file(&self, id: Uuid, now: Timestamp, audit: &AuditEntry) -> Result<()> {
        for attempt in 0..ATTEMPTS {
            let Some(old) = self.file(id).await? else {
                return Ok(());
            };
            let Some(new) = old.deleted(now) else {
                return Ok(());
            };
            let mut less = Change::new()
                .add("files", -1)
                .add("file_bytes", -size(&old));
            let mut transaction = self
                .transaction()
                .update(Table::App, &keys::file(id), changed(&old, &new)?)
                .on_conflict(Error::Busy);
            match old.purpose {
                Purpose::Avatar => {
                    let user = self.user(old.owner_id).await?;
                    let user = user.filter(|user| user.avatar_id == Some(id));
                    transaction = match user {
                        Some(user) => {
                            less = less
                                .remove("avatar_id")
                                .set("updated_at", stored(&now)?)
                                .add("version", 1)
                                .if_equal("version", AttributeValue::N(user.version.to_string()));
                            transaction
                                .update(Table::App, &keys::profile(user.id), less)
                                .on_conflict(Error::Busy)
                        }
                        None => transaction.given_back(&old, less),
                    };
                }
                Purpose::ItemImage { item_id } => {
                    if let Some(item) = self.item(item_id).await? {
                        let mut images = item.images.clone();
                        images.retain(|image| *image != id);
                        if images != item.images {
                            transaction = transaction.images(&item, images, now)?;
                        }
                    }
                    transaction = transaction.given_back(&old, less);
                }
                Purpose::Upload | Purpose::Processed => {
                    transaction = transaction.given_back(&old, less);
                }
            }
            let committed = transaction
                .audit(audit.actor.unwrap_or(old.owner_id), audit)
                .task(&NewTask::new(Task::DeleteFile { file_id: id }))
                .commit()
                .await;
            match committed {
                Err(Error::Busy) => {
                    super::back_off(attempt, "delete a file").await?;
                }
                committed => return committed,
            }
        }
        Err(Error::Busy)
    }

    /// Removes the row of a file. What a pending one has counted is given back. Answers `false`, and does nothing, if it
    /// was changed meanwhile.
    pub async fn forget_file(&self, file: &File) -> Result<bool> {
        let mut transaction = self
            .transaction()
            .delete_if(
                Table::App,
                &keys::file(file.id),
                Change::new().if_equal("version", version(file)),
            )
            .on_conflict(Error::Stale);
        if file.status == FileStatus::Pending {
            let less = Change::new()
                .add("files", -1)
                .add("file_bytes", -size(file));
            transaction = transaction.given_back(file, less);
        }
        match transaction.commit().await {
            Err(Error::Stale) => Ok(false),
            done => done.map(|()| true),
        }
    }

    /// A slice of a user's files, the newest first: one query and one read. Those that are not ready are left out.
    pub async fn files_of(&self, owner: Uuid, slice: &Slice) -> Result<Page<File>> {
        let mut page: Page<File> = self.list(&owned(owner), slice).await?;
        page.items.retain(|file| file.status == FileStatus::Ready);
        Ok(page)
    }

    /// Lets tasks remove all that a user has stored, because of `task`. Answers whether there was nothing.
    pub(super) async fn delete_files_of(&self, owner: Uuid, task: Uuid) -> Result<bool> {
        let mut start = None;
        let mut is_done = true;
        let listing = owned(owner);
        loop {
            let (entries, is_end) = self.keys(&listing, start, 100).await?;
            for file_id in entries
                .iter()
                .filter_map(Key::of)
                .filter_map(|key| keys::file_id(&key))
            {
                is_done = false;
                self.add_task_once(&delete_task(file_id, task)).await?;
            }
            start = entries.last().and_then(|last| listing.after(last));
            if is_end || start.is_none() {
                return Ok(is_done);
            }
        }
    }
}

fn owned(owner: Uuid) -> Listing {
    Listing {
        index: Some("owned"),
        partition_key: "owned_by",
        partitions: vec![keys::files_of(owner)],
        sort: Sort::Text("id"),
        between: None,
        newest_first: true,
    }
}

/// The task that removes a file because of something; the same one each time.
fn delete_task(file_id: Uuid, because_of: Uuid) -> NewTask {
    let mixed = Uuid::from_u128(file_id.as_u128() ^ because_of.as_u128());
    NewTask::new(Task::DeleteFile { file_id }).with_id(following(mixed))
}

fn size(file: &File) -> i64 {
    whole(file.size)
}

fn whole<T: TryInto<i64>>(number: T) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

fn version(file: &File) -> AttributeValue {
    number(whole(file.version))
}

/// The update of a file that nobody else has changed.
fn changed(old: &File, new: &File) -> Result<Change> {
    let change = Change::between(&StoredFile::of(old), &StoredFile::of(new))?;
    Ok(change.if_equal("version", version(old)))
}

impl Transaction<'_> {
    /// Gives an item these images. [`Error::Busy`] if it was changed since it was read.
    fn images(self, old: &Item, images: Vec<Uuid>, now: Timestamp) -> Result<Self> {
        let new = Item {
            images,
            updated_at: now,
            version: old.version + 1,
            ..old.clone()
        };
        let change = Change::between(&StoredItem::of(old), &StoredItem::of(&new))?;
        let read = AttributeValue::N(old.version.to_string());
        Ok(self
            .update(
                Table::App,
                &keys::item(new.id),
                change.if_equal("version", read),
            )
            .on_conflict(Error::Busy))
    }

    /// Takes a file off what its owner has stored, if they are still there.
    fn given_back(self, file: &File, less: Change) -> Self {
        self.update(
            Table::App,
            &keys::profile(file.owner_id),
            less.if_exists("id"),
        )
        .or_without_it()
    }

    /// Lets tasks remove the images of an item that is deleted.
    pub(super) fn without_images(self, item: &Item) -> Self {
        item.images.iter().fold(self, |transaction, image| {
            transaction.task(&delete_task(*image, item.id))
        })
    }
}
