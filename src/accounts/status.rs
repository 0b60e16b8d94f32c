//! Closes or reopens an account. Late calls of a closed account are still charged; its numbers are
//! given back.

use callmeter_core::domain::{AccountId, AccountStatus};
use sqlx::PgConnection;

use super::UnknownAccount;
use crate::change::{Affected, Change};
use crate::ledger::Refusable;
use crate::ledger::accounts::{self, Account};
use crate::ledger::audit::By;
use crate::ledger::numbers::{self, ACCOUNT_CLOSED, progress};

/// The new status of an account.
#[derive(Clone, Debug)]
pub struct SetStatus {
    /// The account.
    pub account: AccountId,
    /// The new status.
    pub status: AccountStatus,
    /// True: closing asks for the release of its numbers (`numbers.release_on_close`).
    pub releases_numbers: bool,
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
        let Some(account) = account else { return Ok(Err(UnknownAccount)) };
        if self.status == AccountStatus::Closed && self.releases_numbers {
            for number in numbers::bought(connection, account.account_key).await? {
                progress::ask_release(connection, &number, Some(ACCOUNT_CLOSED), by).await?;
            }
        }
        Ok(Ok(account))
    }

    fn affects(&self, _: Option<&Account>) -> Affected {
        Affected::account(&self.account)
    }
}
