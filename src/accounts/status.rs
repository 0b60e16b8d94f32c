//! Closes or reopens an account. Late calls of a closed account are still charged.

use callmeter_core::domain::{AccountId, AccountStatus};
use sqlx::PgConnection;

use super::UnknownAccount;
use crate::change::{Affected, Change};
use crate::ledger::Refusable;
use crate::ledger::accounts::{self, Account};
use crate::ledger::audit::By;

/// The new status of an account.
#[derive(Clone, Debug)]
pub struct SetStatus {
    /// The account.
    pub account: AccountId,
    /// The new status.
    pub status: AccountStatus,
}

impl Change for SetStatus {
    type Done = Account;
    type Refusal = UnknownAccount;
    const NAME: &'static str = "accounts::set_status";

    async fn apply(
        &self,
        connection: &mut PgConnection,
        by: &By,
    ) -> Refusable<Account, UnknownAccount> {
        let account = accounts::set_status(connection, &self.account, self.status, by).await?;
        Ok(account.ok_or(UnknownAccount))
    }

    fn affects(&self, _: Option<&Account>) -> Affected {
        Affected::account(&self.account)
    }
}
