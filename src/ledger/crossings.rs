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

/// A row that moved the balance.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moved {
    pub account_key: i32,
    pub sequence: i64,
    pub before: Money,
    pub after: Money,
    /// The threshold of auto-refill while it is enabled.
    pub refill_level: Option<Money>,
    pub at: DateTime<Utc>,
}

/// What the rows of a transaction crossed.
#[derive(Debug, Default)]
pub(super) struct Crossings {
    /// Facts to tell.
    pub facts: Vec<Fact>,
    /// Accounts whose auto-refill must look at the balance.
    pub refills_due: Vec<i32>,
    /// The account that a refill was credited to: its unpaid rents are looked at.
    pub refilled: Option<i32>,
}

impl Crossings {
    /// Notes what a row crossed.
    pub(super) fn note(&mut self, moved: Moved) {
        let Moved { account_key, sequence, before, after, refill_level, at } = moved;
        if refill_level.is_some_and(|level| crosses(before, after, level)) {
            self.refills_due.push(account_key);
        }
        if crosses(before, after, Money::ZERO) {
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
        if let Some(account_key) = self.refilled {
            look_at_rents(connection, account_key, now).await?;
        }
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

/// Lets the unpaid rents of an account be looked at now. One that is being tried, and so is locked,
/// waits for this wallet, and finds the refill.
async fn look_at_rents(
    connection: &mut PgConnection,
    account_key: i32,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    sqlx::query(
        "/* crossings::look_at_rents */ UPDATE rental_periods SET look_at = $2
         WHERE (phone_number_sid, period_start) IN (
             SELECT phone_number_sid, period_start FROM rental_periods
             WHERE account_key = $1 AND next_attempt_at IS NOT NULL FOR UPDATE SKIP LOCKED)",
    )
    .bind(account_key)
    .bind(now)
    .execute(connection)
    .await?;
    Ok(())
}
