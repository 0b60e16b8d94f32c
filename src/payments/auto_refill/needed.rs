//! Whether an automatic refill that waited is still wanted.

use callmeter_core::domain::{AccountStatus, RefillTrigger};

use crate::ledger::accounts;
use crate::ledger::payments::auto_refills;
use crate::ledger::payments::refills::Refill;
use crate::payments::{PaymentError, Payments};

/// The code of a refill that was not wanted any more.
pub(in crate::payments) const NOT_NEEDED: &str = "not_needed";

impl Payments {
    /// Judges an automatic refill anew before its card is charged: Stripe may have been away for
    /// hours, and the balance refilled by hand or by a recovery. A manual one is always needed.
    ///
    /// # Errors
    /// If the ledger cannot be read.
    pub(in crate::payments) async fn is_needed(
        &self,
        refill: &Refill,
    ) -> Result<bool, PaymentError> {
        if refill.trigger == RefillTrigger::Manual {
            return Ok(true);
        }
        let mut connection = self.store.read().await?;
        let account = accounts::find(&mut connection, &refill.account).await?;
        let set = auto_refills::find(&mut connection, refill.account_key).await?;
        let (Some(account), Some(set)) = (account, set) else { return Ok(false) };
        let balance = auto_refills::balance(&mut connection, refill.account_key).await?;
        let is_on = set.is_enabled && account.status == AccountStatus::Open;
        Ok(is_on && balance < set.terms.threshold)
    }
}
