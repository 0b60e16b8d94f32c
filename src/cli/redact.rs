//! `callmeter account redact`: removes an account's name, address and phone numbers for good.

use callmeter_core::domain::AccountId;
use chrono::{DateTime, Utc};
use clap::Args;

use super::actor::{by_user, one_line};
use super::error::unknown;
use super::{CommandError, print};
use crate::accounts::{UnknownAccount, redact};
use crate::change::Changes;
use crate::ledger::store::Store;

#[derive(Debug, Args)]
pub(super) struct Redact {
    /// The account's id, which stays
    id: AccountId,
    /// Reason; kept in the audit
    #[arg(long, value_name = "TEXT", value_parser = one_line)]
    reason: String,
}

impl Redact {
    pub(super) async fn run(
        self,
        changes: &Changes,
        store: &Store,
        now: DateTime<Utc>,
    ) -> Result<(), CommandError> {
        let by = by_user(now, Some(&self.reason));
        let redacted = changes.run(redact::Redact(self.id.clone()), by).await?;
        let redacted = redacted.map_err(|UnknownAccount| unknown(&self.id))?;
        let calls = redact::blank_charges(store, redacted).await?;
        print(&format!("{} is redacted; {calls} charged calls have no numbers any more", self.id))
    }
}
