//! Shared keys: Twilio signs web hooks with them instead of an auth token, if a Webhook Rule says
//! so. They are set, stored sealed, and found by the id that a web hook names.
//!
//! A key belongs to one account and signs only for the Twilio accounts linked to it. The keys in
//! the settings sign for accounts without keys, for a while longer after an account gets its first,
//! and for unlinked Twilio accounts. Several keys of an account are valid at once, so that one can
//! replace another without a gap. A forgotten key is revoked.
//!
//! A secret leaves this module only as a [`Secret`].

mod maintenance;
mod rows;
mod signing;

use std::collections::BTreeMap;

use callmeter_core::domain::AccountId;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use sqlx::PgConnection;

use super::accounts;
use super::audit::{self, Action, AuditEntry, By};
use super::error::LedgerError;
use crate::config::{SHARED_KEYS_MAX, Secret, Settings, SharedKey};
use crate::vault::{Sealed, Vault, VaultError};

pub use maintenance::KeysTended;
pub use signing::{SigningKey, SigningKeys};

use rows::{Stored, forget, put, stored};

/// Changes of an account's keys.
#[derive(Clone, Debug)]
pub enum KeyChanges {
    /// Forget all keys.
    ForgetAll,
    /// Set each of these by its id, or forget it if there is no secret; the others stay.
    Each(BTreeMap<String, Option<Secret>>),
}

impl KeyChanges {
    /// True if a secret is to be stored, which needs a key to seal it.
    pub fn set_any(&self) -> bool {
        matches!(self, Self::Each(each) if each.values().any(Option::is_some))
    }

    /// The number of keys after the changes.
    fn count_after(&self, before: &BTreeMap<String, Stored>) -> usize {
        let Self::Each(each) = self else { return 0 };
        let stay = before.keys().filter(|id| !each.contains_key(*id)).count();
        stay + each.values().flatten().count()
    }
}

/// The result of a change of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeysChanged {
    /// It is as requested, perhaps already was.
    Done,
    /// There is no such account.
    UnknownAccount,
    /// The account would have more than [`SHARED_KEYS_MAX`]: nothing is changed.
    TooMany,
}

/// Why a stored key cannot be used: an operator has to restore the key that sealed it, or set it
/// again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the shared key {id} of {account} cannot be opened")]
pub struct UnopenedKey {
    /// Its account.
    pub account: AccountId,
    /// Its id.
    pub id: String,
    /// Why; `None`: the settings have no key at all.
    pub source: Option<VaultError>,
}

/// The keys of all accounts, and how they are sealed.
#[derive(Clone, Debug)]
pub struct SharedKeys {
    vault: Option<Vault>,
    defaults: Vec<SharedKey>,
    previous_counts_for: TimeDelta,
}

impl SharedKeys {
    /// Takes the keys and the time of rotation from the settings.
    pub fn from_settings(settings: &Settings) -> Self {
        Self {
            vault: Vault::from_settings(settings),
            defaults: settings.twilio.shared_keys().unwrap_or_default(),
            previous_counts_for: TimeDelta::hours(settings.twilio.previous_token_hours.into()),
        }
    }

    /// True if keys can be sealed.
    pub const fn can_be_set(&self) -> bool {
        self.vault.is_some()
    }

    /// The result that [`Self::change`] would return. Locks the account, so that it stays the same
    /// until this transaction ends: for a caller that changes something else first.
    ///
    /// # Errors
    /// If Postgres fails, or holds a value that cannot be read.
    pub async fn look(
        &self,
        connection: &mut PgConnection,
        id: &AccountId,
        changes: &KeyChanges,
    ) -> Result<KeysChanged, LedgerError> {
        let Some(head) = accounts::lock(connection, id).await? else {
            return Ok(KeysChanged::UnknownAccount);
        };
        let before = stored(connection, head.account_key).await?;
        let fit = changes.count_after(&before) <= SHARED_KEYS_MAX;
        Ok(if fit { KeysChanged::Done } else { KeysChanged::TooMany })
    }

    /// Sets and forgets keys of an account. Nothing changes unless it returns `Done`.
    ///
    /// # Errors
    /// `Unreadable` if there is no key to seal with: check [`Self::can_be_set`] first.
    pub async fn change(
        &self,
        connection: &mut PgConnection,
        id: &AccountId,
        changes: &KeyChanges,
        by: &By,
    ) -> Result<KeysChanged, LedgerError> {
        let Some(head) = accounts::lock(connection, id).await? else {
            return Ok(KeysChanged::UnknownAccount);
        };
        let owner = Owner { key: head.account_key, id };
        let before = stored(connection, owner.key).await?;
        if changes.count_after(&before) > SHARED_KEYS_MAX {
            return Ok(KeysChanged::TooMany);
        }
        let each = match changes {
            KeyChanges::Each(each) => each.clone(),
            KeyChanges::ForgetAll => before.keys().map(|id| (id.clone(), None)).collect(),
        };
        let first_set_at = before.values().map(|row| row.first_set_at).min().unwrap_or(by.at);
        let mut deeds = Vec::new();
        for (key, secret) in &each {
            let row = before.get(key);
            let action = match (row, secret) {
                (None, None) => continue,
                (Some(row), Some(secret)) if self.is(&owner, key, row, secret) => continue,
                (_, Some(secret)) => {
                    let sealed = self.seal(&owner, key, secret)?;
                    put(connection, owner.key, key, &sealed, by.at, first_set_at).await?;
                    Action::TwilioSharedKeySet
                }
                (Some(_), None) => {
                    forget(connection, owner.key, key).await?;
                    Action::TwilioSharedKeyForgotten
                }
            };
            deeds.push(owner.entry(action, key, row.map(|row| row.set_at), by.at));
        }
        if deeds.is_empty() {
            by.changed_nothing();
        }
        for entry in &deeds {
            audit::note(connection, by, entry).await?;
        }
        Ok(KeysChanged::Done)
    }

    /// True if there is any shared key.
    ///
    /// # Errors
    /// If Postgres fails, or holds a value that cannot be read.
    pub async fn exist(&self, connection: &mut PgConnection) -> Result<bool, LedgerError> {
        if !self.defaults.is_empty() {
            return Ok(true);
        }
        let exist = sqlx::query_scalar(
            "-- shared_keys::exist
             SELECT EXISTS (SELECT FROM twilio_shared_keys)",
        )
        .fetch_one(connection)
        .await?;
        Ok(exist)
    }

    /// True if any account, or the settings, has a key of this id.
    ///
    /// # Errors
    /// If Postgres fails, or holds a value that cannot be read.
    pub async fn is_known(
        &self,
        connection: &mut PgConnection,
        key: &str,
    ) -> Result<bool, LedgerError> {
        if self.default(key).is_some() {
            return Ok(true);
        }
        let known = sqlx::query_scalar(
            "-- shared_keys::is_known
             SELECT EXISTS (SELECT FROM twilio_shared_keys WHERE shared_key_id = $1)",
        )
        .bind(key)
        .fetch_one(connection)
        .await?;
        Ok(known)
    }

    /// The secret under this id in the settings.
    fn default(&self, key: &str) -> Option<&Secret> {
        self.defaults.iter().find(|default| default.id == key).map(|default| &default.secret)
    }

    fn seal(&self, owner: &Owner<'_>, key: &str, secret: &Secret) -> Result<Sealed, LedgerError> {
        let vault = self.vault.as_ref();
        let vault = vault.ok_or_else(|| unreadable("there is no key"))?;
        vault.seal(&bound_to(owner.id, key), secret).map_err(unreadable)
    }

    /// Opens a stored key.
    fn open(&self, account: &AccountId, key: &str, sealed: &Sealed) -> Result<Secret, UnopenedKey> {
        let unopened =
            |source| UnopenedKey { account: account.clone(), id: key.to_owned(), source };
        let Some(vault) = &self.vault else { return Err(unopened(None)) };
        vault.open(&bound_to(account, key), sealed).map_err(|error| unopened(Some(error)))
    }

    /// True if the stored secret is this one already. One that cannot be opened is not.
    fn is(&self, owner: &Owner<'_>, key: &str, row: &Stored, secret: &Secret) -> bool {
        let opened = self.open(owner.id, key, &row.sealed);
        opened.is_ok_and(|current| current.expose() == secret.expose())
    }
}

/// The account whose keys change.
struct Owner<'a> {
    key: i32,
    id: &'a AccountId,
}

impl Owner<'_> {
    fn entry(
        &self,
        action: Action,
        key: &str,
        set_at: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> AuditEntry {
        let after = (action == Action::TwilioSharedKeySet).then_some(now);
        AuditEntry {
            action,
            account_key: Some(self.key),
            subject: key.to_owned(),
            before: json!({ "set_at": set_at }),
            after: json!({ "set_at": after }),
        }
    }
}

/// What a sealed key is bound to, so that it opens only there: its account and its id.
fn bound_to(account: &AccountId, key: &str) -> String {
    format!("shared key {key} of {account}")
}

fn unreadable(error: impl std::fmt::Display) -> LedgerError {
    LedgerError::unreadable("a shared key", error)
}
