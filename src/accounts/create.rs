//! Creates an account with its wallet, its first Twilio account and its opening balance.

use sqlx::PgConnection;

use crate::change::{Affected, Change};
use crate::ledger::Refusable;
use crate::ledger::accounts::{self, Account, NewAccount, NotCreated};
use crate::ledger::audit::By;

/// The account to create.
#[derive(Clone, Debug)]
pub struct CreateAccount(pub NewAccount);

impl Change for CreateAccount {
    type Done = Account;
    type Refusal = NotCreated;
    const NAME: &'static str = "accounts::create";

    async fn apply(
        &self,
        connection: &mut PgConnection,
        by: &By,
    ) -> Refusable<Account, NotCreated> {
        accounts::create(connection, &self.0, by).await
    }

    fn affects(&self, _: Option<&Account>) -> Affected {
        // No process can know a wallet that did not exist.
        Affected::nothing()
    }
}
