//! Sets and forgets the shared keys with which Twilio signs an account's web hooks.

use std::sync::Arc;

use callmeter_core::domain::AccountId;
use sqlx::PgConnection;

use crate::change::{Affected, Change};
use crate::ledger::audit::By;
use crate::ledger::shared_keys::{KeyChanges, KeysChanged, SharedKeys};
use crate::ledger::{LedgerError, Refusable};

/// Shared keys to set and to forget.
#[derive(Clone, Debug)]
pub struct ChangeSharedKeys {
    /// How keys are sealed.
    pub keys: Arc<SharedKeys>,
    /// The account.
    pub account: AccountId,
    /// The changes.
    pub changes: KeyChanges,
}

/// Why shared keys are not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SharedKeysRefused {
    /// There is no such account.
    UnknownAccount,
    /// The account would have more than `SHARED_KEYS_MAX` keys.
    TooMany,
    /// `secrets.key` is not set, so nothing can be sealed.
    NotConfigured,
}

impl ChangeSharedKeys {
    /// Checks whether the keys can be changed, for a change that does something else first. Locks
    /// the account, so that the result stays valid until the transaction ends.
    ///
    /// # Errors
    /// If the ledger cannot be read.
    pub async fn check(
        &self,
        connection: &mut PgConnection,
    ) -> Result<Result<(), SharedKeysRefused>, LedgerError> {
        if self.changes.set_any() && !self.keys.can_be_set() {
            return Ok(Err(SharedKeysRefused::NotConfigured));
        }
        let found = self.keys.look(connection, &self.account, &self.changes).await?;
        Ok(result_of(found))
    }

    /// Changes the keys, in the transaction of another change.
    ///
    /// # Errors
    /// If the ledger cannot be written.
    pub async fn change(
        &self,
        connection: &mut PgConnection,
        by: &By,
    ) -> Result<Result<(), SharedKeysRefused>, LedgerError> {
        if self.changes.set_any() && !self.keys.can_be_set() {
            return Ok(Err(SharedKeysRefused::NotConfigured));
        }
        let changed = self.keys.change(connection, &self.account, &self.changes, by).await?;
        Ok(result_of(changed))
    }
}

const fn result_of(changed: KeysChanged) -> Result<(), SharedKeysRefused> {
    match changed {
        KeysChanged::Done => Ok(()),
        KeysChanged::UnknownAccount => Err(SharedKeysRefused::UnknownAccount),
        KeysChanged::TooMany => Err(SharedKeysRefused::TooMany),
    }
}

impl Change for ChangeSharedKeys {
    type Done = ();
    type Refusal = SharedKeysRefused;
    const NAME: &'static str = "shared_keys::change";

    async fn apply(
        &self,
        connection: &mut PgConnection,
        by: &By,
    ) -> Refusable<(), SharedKeysRefused> {
        self.change(connection, by).await
    }

    fn affects(&self, _: Option<&()>) -> Affected {
        // Each callback reads the keys from the ledger.
        Affected::nothing()
    }
}
