//! Changing the tree: it is decided by all of it, and holds only if nobody else has changed it meanwhile.

use axum::response::Response;
use http::HeaderMap;
use shared::auth::CurrentUser;
use shared::http::{RequestInfo, etag};
use shared::models::Category;
use shared::models::audit::AuditEntry;
use shared::models::category::{CategoryProblem, Tree};
use shared::{App, Error, Result};

use super::category::{self, Category as Shown};

/// How often a change that has lost a race is decided again.
pub(crate) const MOST_RETRIES: u32 = 5;

/// A category before its change, if there was one, and after it.
pub(crate) type Change = (Option<Category>, Category);

/// Writes what is decided by the tree, if it is anything new, and answers the category.
pub(crate) async fn save(
    app: &App,
    info: &RequestInfo,
    current: &CurrentUser,
    decide: impl Fn(&Tree) -> Result<Change>,
) -> Result<Response> {
    let mut retries = 0;
    loop {
        let (tree, version) = app.store.categories().await?;
        let (old, mut new) = decide(&tree)?;
        if old.as_ref() == Some(&new) {
            return Ok(respond(&tree, new));
        }
        tree.check(&new).map_err(refused)?;
        let ip = info.ip().to_string();
        let actor = Some(current.user.id);
        let audit = match &old {
            None => AuditEntry::new("category.created", actor, &ip),
            Some(old) => {
                new.version += 1;
                new.updated_at = app.clock.now();
                AuditEntry::new("category.updated", actor, &ip).with_changes(old, &new)
            }
        };
        let audit = audit.about(new.id);
        let saved = app
            .store
            .save_category(version, old.as_ref(), &new, &audit)
            .await;
        // Also after an error: the answer may have been lost.
        app.caches.categories.clear();
        match saved {
            Err(Error::Stale) if retries < MOST_RETRIES => retries += 1,
            saved => {
                saved?;
                return Ok(respond(&tree, new));
            }
        }
    }
}

fn respond(tree: &Tree, category: Category) -> Response {
    let tag = category::tag(tree, &category);
    etag::respond_tagged(&HeaderMap::new(), &tag, Shown::of(tree, category))
}

fn refused(problem: CategoryProblem) -> Error {
    match problem {
        CategoryProblem::NameTaken => Error::NameTaken,
        CategoryProblem::SlugTaken => Error::SlugTaken,
        CategoryProblem::Cycle => Error::CategoryCycle,
        CategoryProblem::UnknownParent => {
            let message = "must be the id of a category";
            Error::invalid("parent_id", "unknown_category", message)
        }
        CategoryProblem::TooDeep => {
            let message = "must leave all of it at most eight levels deep";
            Error::invalid("parent_id", "too_deep", message)
        }
    }
}
