//! Redacts an account's name, address and phone numbers in the ledger, permanently.
//!
//! The change itself is one transaction. Charges follow in steps ([`blank_charges`]), each safe to
//! repeat: an interrupted redaction is run again.

use callmeter_core::domain::AccountId;
use chrono::TimeDelta;
use sqlx::PgConnection;

use crate::change::{Affected, Change};
use crate::ledger::Refusable;
use crate::ledger::audit::By;
use crate::ledger::redaction::{self, NotRedacted, Redacted};

pub use crate::ledger::redaction::blank_charges;

/// The account to redact.
#[derive(Clone, Debug)]
pub struct Redact {
    /// The account.
    pub account: AccountId,
    /// How old its last payment by card must be.
    pub wait: TimeDelta,
    /// Its customer at Stripe is deleted, or it has none.
    pub customer_gone: bool,
}

impl Change for Redact {
    type Done = Redacted;
    type Refusal = NotRedacted;
    const NAME: &'static str = "redaction::redact";

    async fn apply(
        &self,
        connection: &mut PgConnection,
        by: &By,
    ) -> Refusable<Redacted, NotRedacted> {
        let how = (self.wait, self.customer_gone);
        redaction::redact(connection, &self.account, how, by).await
    }

    fn affects(&self, _: Option<&Redacted>) -> Affected {
        // Authorizations read no names and no past numbers.
        Affected::nothing()
    }
}
