//! Posts a correction by an administrator.

use callmeter_core::domain::AccountId;
use sqlx::PgConnection;

use crate::change::{Affected, Change};
use crate::ledger::Refusable;
use crate::ledger::accounts;
use crate::ledger::adjustments::{self, Adjustment, NotAdjusted};
use crate::ledger::audit::By;
use crate::ledger::history::{Transaction, TransactionId};

/// A correction of one wallet.
#[derive(Clone, Debug)]
pub struct Adjust {
    /// The account.
    pub account: AccountId,
    /// The correction; its reference is filled in from [`Self::refers_to`].
    pub adjustment: Adjustment,
    /// The transaction it corrects, by its public id.
    pub refers_to: Option<TransactionId>,
}

impl Change for Adjust {
    type Done = Transaction;
    type Refusal = NotAdjusted;
    const NAME: &'static str = "adjustments::adjust";

    async fn apply(
        &self,
        connection: &mut PgConnection,
        by: &By,
    ) -> Refusable<Transaction, NotAdjusted> {
        let mut adjustment = self.adjustment.clone();
        if let Some(reference) = self.refers_to {
            match accounts::key_of(connection, &self.account).await? {
                None => return Ok(Err(NotAdjusted::UnknownAccount)),
                Some(key) if key != reference.account_key => {
                    return Ok(Err(NotAdjusted::UnknownReference));
                }
                Some(_) => adjustment.refers_to = Some(reference.sequence),
            }
        }
        adjustments::adjust(connection, &self.account, &adjustment, by).await
    }

    fn affects(&self, _: Option<&Transaction>) -> Affected {
        Affected::account(&self.account)
    }
}
