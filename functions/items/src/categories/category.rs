//! A category on the wire.

use jiff::Timestamp;
use serde::Serialize;
use shared::auth::OneTimeToken;
use shared::models;
use shared::models::category::{CategoryName, Slug, Tree};
use shared::models::item::Description;
use utoipa::ToSchema;
use uuid::Uuid;

/// A kind of items, perhaps with others below it.
#[derive(Serialize, ToSchema)]
pub(crate) struct Category {
    id: Uuid,
    name: CategoryName,
    slug: Slug,
    description: Option<Description>,
    /// The category above it; null for a root.
    parent_id: Option<Uuid>,
    /// The slugs from the root to it.
    #[schema(example = "electronics/phones")]
    path: String,
    is_active: bool,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl Category {
    /// A category that is in the tree, or has just come into it.
    pub(crate) fn of(tree: &Tree, category: models::Category) -> Self {
        Self {
            path: path(tree, &category),
            id: category.id,
            name: category.name,
            slug: category.slug,
            description: category.description,
            parent_id: category.parent_id,
            is_active: category.is_active,
            created_at: category.created_at,
            updated_at: category.updated_at,
        }
    }
}

/// The entity tag of a category. Its path may change without it.
pub(crate) fn tag(tree: &Tree, category: &models::Category) -> String {
    let path = OneTimeToken::hash_of(&path(tree, category));
    format!("{}-{path}", category.version)
}

fn path(tree: &Tree, category: &models::Category) -> String {
    match category.parent_id.map(|parent| tree.path(parent)) {
        Some(above) if !above.is_empty() => format!("{above}/{}", category.slug),
        _ => category.slug.to_string(),
    }
}
