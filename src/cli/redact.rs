//! `callmeter account redact`: takes an account's name, address and phone numbers out, for good.

use std::sync::Arc;

use callmeter_core::domain::AccountId;
use chrono::{DateTime, Utc};
use clap::Args;
use futures::FutureExt;

use super::account::unknown;
use super::who::{by_user, one_line};
use super::{CommandError, print};
use crate::ledger::blanking;
use crate::ledger::store::Store;

#[derive(Debug, Args)]
pub(super) struct Redact {
    /// The account's id, which stays as it is
    id: AccountId,
    /// Why; it is kept in the audit
    #[arg(long, value_name = "TEXT", value_parser = one_line)]
    reason: String,
}

impl Redact {
    pub(super) async fn run(self, store: &Store, now: DateTime<Utc>) -> Result<(), CommandError> {
        let by = Arc::new(by_user(now, Some(&self.reason)));
        let id = self.id.clone();
        let redacted = store.transact("blanking::redact", move |connection| {
            let (id, by) = (id.clone(), Arc::clone(&by));
            async move { blanking::redact(connection, &id, &by).await }.boxed()
        });
        let redacted = redacted.await?.ok_or_else(|| unknown(&self.id))?;
        let calls = blanking::blank_charges(store, redacted).await?;
        print(&format!("{} is redacted; {calls} charged calls lost their numbers", self.id))
    }
}
