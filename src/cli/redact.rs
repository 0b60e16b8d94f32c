//! `callmeter account redact`: removes an account's name, address and phone numbers for good.

use callmeter_core::domain::AccountId;
use chrono::{DateTime, TimeDelta, Utc};
use clap::Args;

use super::actor::{by_user, one_line};
use super::error::{refused, unknown};
use super::refill::open_payments;
use super::{CommandError, print};
use crate::accounts::redact;
use crate::app;
use crate::change::Changes;
use crate::config::Settings;
use crate::ledger::redaction::{self, NotRedacted};
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
    /// The customer at Stripe is deleted first: until then the ledger still knows whose it is.
    pub(super) async fn run(
        self,
        settings: &Settings,
        changes: &Changes,
        store: &Store,
        now: DateTime<Utc>,
    ) -> Result<(), CommandError> {
        let wait = TimeDelta::days(settings.privacy.redact_after_days.into());
        let mut connection = store.read().await?;
        let checked = redaction::check(&mut connection, &self.id, wait, now).await?;
        drop(connection);
        let account_key = checked.map_err(|why| self.refused(why))?;
        let customer_gone = if settings.stripe.api_key.is_some() {
            let payments = open_payments(settings, store.clone(), &settings.clock())?;
            let deleted = payments.delete_customer(account_key).await;
            deleted.map_err(|error| refused(app::one_line(&error)))?;
            true
        } else {
            false
        };
        let by = by_user(now, Some(&self.reason));
        let change = redact::Redact { account: self.id.clone(), wait, customer_gone };
        let redacted = changes.run(change, by).await?.map_err(|why| self.refused(why))?;
        let calls = redact::blank_charges(store, redacted).await?;
        print(&format!("{} is redacted; {calls} charged calls have no numbers any more", self.id))
    }

    fn refused(&self, why: NotRedacted) -> CommandError {
        match why {
            NotRedacted::UnknownAccount => unknown(&self.id),
            NotRedacted::CustomerKept => {
                refused("STRIPE_API_KEY is not set, and Stripe has a customer of it".to_owned())
            }
            why => refused(format!("{} is not redacted: {why}", self.id)),
        }
    }
}
