//! Takes an account's name, address and phone numbers out of the ledger, for good.
//!
//! The change itself is one transaction. Charges follow in pieces ([`blank_charges`]), each safe to
//! run twice: a redaction that was interrupted is run again.

use callmeter_core::domain::AccountId;
use sqlx::PgConnection;

use super::UnknownAccount;
use crate::change::{Affected, Change};
use crate::ledger::Refusable;
use crate::ledger::audit::By;
use crate::ledger::redaction::{self, Redacted};

pub use crate::ledger::redaction::blank_charges;

/// The account to redact.
#[derive(Clone, Debug)]
pub struct Redact(pub AccountId);

impl Change for Redact {
    type Done = Redacted;
    type Refusal = UnknownAccount;
    const NAME: &'static str = "redaction::redact";

    async fn apply(
        &self,
        connection: &mut PgConnection,
        by: &By,
    ) -> Refusable<Redacted, UnknownAccount> {
        Ok(redaction::redact(connection, &self.0, by).await?.ok_or(UnknownAccount))
    }

    fn affects(&self, _: Option<&Redacted>) -> Affected {
        // Authorizations read no name and no number of the past.
        Affected::nothing()
    }
}
