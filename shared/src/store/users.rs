//! Users as every function may read them.

use uuid::Uuid;

use super::{Store, Table, from_item, keys};
use crate::error::Result;
use crate::models::User;
use crate::models::session::Session;

impl Store {
    /// Who calls: the user and the session of a token, strongly consistent, in one round trip.
    pub async fn signed_in(
        &self,
        user: Uuid,
        session: Uuid,
    ) -> Result<(Option<User>, Option<Session>)> {
        let (profile, session) = (keys::profile(user), keys::session(user, session));
        let [profile, session] = self
            .batch_get([(Table::App, &profile), (Table::App, &session)])
            .await?;
        Ok((
            profile.map(from_item).transpose()?,
            session.map(from_item).transpose()?,
        ))
    }

    pub async fn user(&self, id: Uuid) -> Result<Option<User>> {
        let item = self.get(Table::App, &keys::profile(id)).await?;
        item.map(from_item).transpose()
    }
}
