//! Links one more Twilio account to an account.

use callmeter_core::domain::{AccountId, TwilioAccountSid};
use sqlx::PgConnection;

use crate::change::{Affected, Change};
use crate::ledger::Refusable;
use crate::ledger::audit::By;
use crate::ledger::links::{self, Linked, NotLinked};

/// A Twilio account, and the account that shall pay for it.
#[derive(Clone, Debug)]
pub struct LinkTwilioAccount {
    /// The account.
    pub account: AccountId,
    /// The Twilio account.
    pub twilio_account_sid: TwilioAccountSid,
}

impl Change for LinkTwilioAccount {
    type Done = Linked;
    type Refusal = NotLinked;
    const NAME: &'static str = "links::link";

    async fn apply(&self, connection: &mut PgConnection, by: &By) -> Refusable<Linked, NotLinked> {
        links::link(connection, &self.account, &self.twilio_account_sid, by).await
    }

    fn affects(&self, done: Option<&Linked>) -> Affected {
        let mut affected = Affected::account(&self.account);
        if let Some(Linked::Moved { from }) = done {
            affected.accounts.push(from.clone());
        }
        affected
    }
}
