//! Categories: one tree, which few people change and everybody reads.

pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod get;
pub(crate) mod items;
pub(crate) mod list;
pub(crate) mod update;

mod category;
mod change;

use std::sync::Arc;

use shared::auth::Visitor;
use shared::models::category::Tree;
use shared::models::{Category, Scope};
use shared::{App, Error, Result};

const NOT_FOUND: Error = Error::NotFound("category of this id or slug");

/// The tree, with its version.
type Categories = Arc<(Tree, u64)>;

/// The categories as somebody may rely on them: those who manage them get them as they are, all others as they were a
/// minute ago at most.
async fn read(app: &App, visitor: &Visitor) -> Result<Categories> {
    let kept = &app.caches.categories;
    if visitor.can(Scope::ItemsManage) {
        kept.clear();
    }
    kept.get(app.clock.seconds(), app.store.categories()).await
}

/// A category by slug or id, for somebody who may see it, with the tree that it is in.
pub(crate) async fn find(
    app: &App,
    visitor: &Visitor,
    name: &str,
) -> Result<Option<(Categories, Category)>> {
    let categories = read(app, visitor).await?;
    let (tree, _) = &*categories;
    let found = tree.find(name).filter(|found| is_seen(visitor, found));
    let found = found.cloned();
    Ok(found.map(|category| (categories, category)))
}

/// Who manages categories sees those too that are not active.
fn is_seen(visitor: &Visitor, category: &Category) -> bool {
    category.is_active || visitor.can(Scope::ItemsManage)
}
