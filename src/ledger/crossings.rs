//! Rows that take the balance across a watched level: zero, and the threshold of auto-refill.
//!
//! The charging batch finds them in memory and writes them in its own transaction, as single
//! postings do. Who is told, and whether a card is charged, is decided elsewhere.

use callmeter_core::domain::{EventType, Money};
use callmeter_core::policy::crosses;
use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::PgConnection;

use super::outbox::{self, Fact};
use super::store::StoreError;
use super::transaction_id::TransactionId;
use super::wallets::WalletHead;

/// What the rows of a transaction crossed.
#[derive(Debug, Default)]
pub(super) struct Crossings {
    /// Facts to tell.
    pub facts: Vec<Fact>,
    /// Accounts whose auto-refill must look at the balance.
    pub refills_due: Vec<i32>,
}

impl Crossings {
    /// Notes a row: `head` after it, and the balance before it.
    pub(super) fn note(&mut self, head: &WalletHead, before: Money, at: DateTime<Utc>) {
        let after = head.balance;
        if head.refill_level.is_some_and(|level| crosses(before, after, level)) {
            self.refills_due.push(head.account_key);
        }
        if crosses(before, after, Money::ZERO) {
            let (account_key, sequence) = (head.account_key, head.sequence);
            let data = json!({
                "threshold": Money::ZERO, "balance_before": before, "balance_after": after,
                "transaction_id": TransactionId { account_key, sequence }.to_string(),
            });
            self.facts.push(Fact {
                account_key,
                kind: EventType::AlertEmpty,
                at,
                sequence: Some(sequence),
                data: Some(data),
            });
        }
    }

    /// Writes what was noted, under the wallets' locks.
    pub(super) async fn write(
        &self,
        connection: &mut PgConnection,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        outbox::add(connection, &self.facts).await?;
        if self.refills_due.is_empty() {
            return Ok(());
        }
        sqlx::query(
            "/* crossings::write */ UPDATE auto_refills SET look_at = least(coalesce(look_at, $2), $2)
             WHERE account_key = ANY($1) AND is_enabled",
        )
        .bind(&self.refills_due)
        .bind(now)
        .execute(connection)
        .await?;
        Ok(())
    }
}
