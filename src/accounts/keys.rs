//! Creates and revokes API keys.

use sqlx::PgConnection;

use super::UnknownAccount;
use crate::change::{Affected, Change};
use crate::keys::KeyText;
use crate::ledger::Refusable;
use crate::ledger::audit::By;
use crate::ledger::keys::{self, Key, KeyId, NewKey, Scope};

/// A key to create. The ledger gets its digest, never its text.
#[derive(Clone, Debug)]
pub struct CreateKey(NewKey);

impl CreateKey {
    /// Prepares a key with this text.
    pub fn new(name: String, scope: Scope, text: &KeyText) -> Self {
        let (prefix, sha256) = (text.prefix().to_owned(), *text.digest().bytes());
        Self(NewKey { name, scope, prefix, sha256 })
    }
}

impl Change for CreateKey {
    type Done = Key;
    type Refusal = UnknownAccount;
    const NAME: &'static str = "keys::create";

    async fn apply(
        &self,
        connection: &mut PgConnection,
        by: &By,
    ) -> Refusable<Key, UnknownAccount> {
        Ok(keys::create(connection, &self.0, by).await?.ok_or(UnknownAccount))
    }

    fn affects(&self, _: Option<&Key>) -> Affected {
        // No process can know a key that did not exist.
        Affected::nothing()
    }
}

/// There is no key of this id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownKey;

/// The key to revoke. Every process refuses it from the next request.
#[derive(Clone, Copy, Debug)]
pub struct RevokeKey(pub KeyId);

impl Change for RevokeKey {
    type Done = Key;
    type Refusal = UnknownKey;
    const NAME: &'static str = "keys::revoke";

    async fn apply(&self, connection: &mut PgConnection, by: &By) -> Refusable<Key, UnknownKey> {
        Ok(keys::revoke(connection, self.0, by).await?.ok_or(UnknownKey))
    }

    fn affects(&self, _: Option<&Key>) -> Affected {
        Affected::key(self.0)
    }
}
