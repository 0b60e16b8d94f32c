//! Redacts an account's name, address and phone numbers in the ledger, permanently.
//!
//! The change itself is one transaction. Charges follow in steps ([`blank_charges`]), each safe to
//! repeat: an interrupted redaction is run again.

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
        // Authorizations read no names and no past numbers.
        Affected::nothing()
    }
}
