//! `callmeter account shared-key`: sets or forgets a key with which Twilio signs an account's
//! webhooks. It must never read the secret from an argument, which other users of the machine can
//! see; only from standard input or a file.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use callmeter_core::domain::AccountId;
use chrono::{DateTime, Utc};
use clap::Args;

use super::actor::Reason;
use super::error::{refused, unknown};
use super::token::read_line;
use super::{CommandError, print};
use crate::accounts::shared_keys::{ChangeSharedKeys, SharedKeysRefused};
use crate::change::Changes;
use crate::config::{
    NOT_A_KEY_ID, NOT_A_KEY_SECRET, SHARED_KEYS_MAX, Secret, Settings, is_key_id, read_key_secret,
};
use crate::ledger::shared_keys::{KeyChanges, SharedKeys};

#[derive(Debug, Args)]
pub(super) struct SharedKey {
    /// The account's id
    id: AccountId,
    /// The key's id at Twilio
    #[arg(value_name = "KEY", value_parser = key_id, required_unless_present = "forget_all")]
    key: Option<String>,
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    why: Reason,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Source {
    /// Reads the key's secret from standard input
    #[arg(long)]
    stdin: bool,
    /// Reads the key's secret from a file
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Forgets the key; what it signs is refused from now on
    #[arg(long)]
    forget: bool,
    /// Forgets every shared key of the account
    #[arg(long, conflicts_with = "key")]
    forget_all: bool,
}

fn key_id(text: &str) -> Result<String, &'static str> {
    if is_key_id(text) { Ok(text.to_owned()) } else { Err(NOT_A_KEY_ID) }
}

impl SharedKey {
    pub(super) async fn run(
        self,
        settings: &Settings,
        changes: &Changes,
        now: DateTime<Utc>,
    ) -> Result<(), CommandError> {
        let secret = self.source.read()?;
        let Self { id, key, why, .. } = self;
        let done = match (&key, &secret) {
            (None, _) => format!("all shared keys of {id} are forgotten"),
            (Some(key), None) => format!("the shared key {key} of {id} is forgotten"),
            (Some(key), Some(_)) => format!("the shared key {key} of {id} is set"),
        };
        let keys = key
            .map_or(KeyChanges::ForgetAll, |key| KeyChanges::Each(BTreeMap::from([(key, secret)])));
        let change = ChangeSharedKeys {
            keys: Arc::new(SharedKeys::from_settings(settings)),
            account: id.clone(),
            changes: keys,
        };
        match changes.run(change, why.by(now)).await? {
            Ok(()) => print(&done),
            Err(SharedKeysRefused::UnknownAccount) => Err(unknown(&id)),
            Err(SharedKeysRefused::NotConfigured) => {
                Err(refused("no key to seal it with; set secrets.key"))
            }
            Err(SharedKeysRefused::TooMany) => Err(refused(format!(
                "{id} has {SHARED_KEYS_MAX} shared keys already; forget an unused one"
            ))),
        }
    }
}

impl Source {
    /// The secret; none: forget a key.
    fn read(&self) -> Result<Option<Secret>, CommandError> {
        if self.forget || self.forget_all {
            return Ok(None);
        }
        let text = read_line(self.file.as_deref(), "secret")?;
        let fault = || CommandError::Usage(format!("the secret {NOT_A_KEY_SECRET}"));
        Ok(Some(read_key_secret(&text).ok_or_else(fault)?))
    }
}
