//! Bodies that more than one function answers with.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::files;
use crate::models::text::{Email, Name, Phone, Username, Website};
use crate::models::{self, Role};

/// A user, as they see themselves, and as those see them who may read users.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "id": "0198c8f5-1d07-7f42-8b3e-90aa5c1d44e1", "email": "ada@example.com", "pending_email": null, "username": "ada", "first_name": "Ada",
    "last_name": "Lovelace", "full_name": "Ada Lovelace", "desired_name": "Countess", "phone": "+49301234567",
    "website": "https://example.com/ada", "avatar_url": "/api/v1/files/0198c8f5-6b1e-7c3a-9d52-2f0e8a41b7c6",
    "role": "user", "is_active": true, "is_verified": true, "is_superuser": false,
    "created_at": "2026-11-21T10:00:00Z", "updated_at": "2026-11-21T10:00:00Z",
}))]
pub struct User {
    pub id: Uuid,
    pub email: Email,
    /// The address that takes its place once it is verified.
    pub pending_email: Option<Email>,
    pub username: Option<Username>,
    pub first_name: Option<Name>,
    pub last_name: Option<Name>,
    pub full_name: Option<Name>,
    pub desired_name: Option<Name>,
    pub phone: Option<Phone>,
    pub website: Option<Website>,
    /// Below the API's root.
    #[schema(example = "/api/v1/files/0198c8f5-6b1e-7c3a-9d52-2f0e8a41b7c6")]
    pub avatar_url: Option<String>,
    pub role: Role,
    pub is_active: bool,
    pub is_verified: bool,
    /// Whether the role is `admin`.
    pub is_superuser: bool,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl From<models::User> for User {
    fn from(user: models::User) -> Self {
        Self {
            id: user.id,
            email: user.email,
            pending_email: user.pending_email,
            username: user.username,
            first_name: user.first_name,
            last_name: user.last_name,
            full_name: user.full_name,
            desired_name: user.desired_name,
            phone: user.phone,
            website: user.website,
            avatar_url: user.avatar_id.map(files::url),
            role: user.role,
            is_active: user.is_active,
            is_verified: user.is_verified,
            is_superuser: user.role == Role::Admin,
            created_at: user.created_at,
            updated_at: user.updated_at,
        }
    }
}

/// A user, as any other sees them.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "id": "0198c8f5-1d07-7f42-8b3e-90aa5c1d44e1", "username": "ada", "full_name": "Ada Lovelace", "desired_name": "Countess",
    "avatar_url": "/api/v1/files/0198c8f5-6b1e-7c3a-9d52-2f0e8a41b7c6", "created_at": "2026-11-21T10:00:00Z",
}))]
pub struct PublicUser {
    pub id: Uuid,
    pub username: Option<Username>,
    pub full_name: Option<Name>,
    pub desired_name: Option<Name>,
    /// Below the API's root.
    #[schema(example = "/api/v1/files/0198c8f5-6b1e-7c3a-9d52-2f0e8a41b7c6")]
    pub avatar_url: Option<String>,
    pub created_at: Timestamp,
}

impl From<models::User> for PublicUser {
    fn from(user: models::User) -> Self {
        Self {
            id: user.id,
            username: user.username,
            full_name: user.full_name,
            desired_name: user.desired_name,
            avatar_url: user.avatar_id.map(files::url),
            created_at: user.created_at,
        }
    }
}
