//! A refill that the customer must confirm: its state, and the event that says so, once.

use callmeter_core::domain::{EventType, RefillStatus};
use futures::FutureExt;

use super::advance::count;
use super::{PaymentError, Payments, facts};
use crate::ledger::payments::refill_progress;
use crate::ledger::payments::refills::Refill;
use crate::ledger::{LedgerError, wallets};

impl Payments {
    /// Notes that a refill waits for the customer's confirmation.
    pub(super) async fn require_action(
        &self,
        refill: &Refill,
        redirect_url: Option<String>,
    ) -> Result<(), PaymentError> {
        let (id, account_key, now) = (refill.id.clone(), refill.account_key, self.clock.now());
        let public_url = self.settings.public_url.clone();
        let noted = self.store.transact("payments::require_action", move |connection| {
            let (id, public_url) = (id.clone(), public_url.clone());
            let redirect_url = redirect_url.clone();
            async move {
                wallets::lock(connection, account_key).await?;
                let url = redirect_url.as_deref();
                let is_new = refill_progress::require_action(connection, &id, url, now).await?;
                if is_new {
                    let kind = EventType::RefillActionRequired;
                    facts::tell_refill(connection, kind, &id, public_url.as_deref(), now).await?;
                }
                Ok::<_, LedgerError>(is_new)
            }
            .boxed()
        });
        if noted.await? && refill.status != RefillStatus::RequiresAction {
            count(refill, "requires_action");
        }
        Ok(())
    }
}
