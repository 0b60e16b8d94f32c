//! Rows that take the balance across a watched level, or the month's spending across a mark of the
//! budget. Levels are the account's alert thresholds, zero, and the threshold of auto-refill.
//!
//! The charging batch finds them in memory and writes them in its own transaction, as single
//! postings do. Who is told, and whether a card is charged, is decided elsewhere.

use callmeter_core::domain::{EventType, Money};
use callmeter_core::policy::crosses;
use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::PgConnection;

use super::budget_marks::{self, Reached};
use super::outbox::{self, Fact};
use super::store::StoreError;
use super::transaction_id::TransactionId;
use super::watched::Watched;

/// A row that was entered in its wallet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moved<'a> {
    pub account_key: i32,
    pub sequence: i64,
    pub before: Money,
    pub after: Money,
    /// What its month's spending was before it.
    pub spent_before: Money,
    pub watched: &'a Watched,
    pub at: DateTime<Utc>,
}

/// What the rows of a transaction crossed.
#[derive(Debug, Default)]
pub(super) struct Crossings {
    /// Facts to tell.
    pub facts: Vec<Fact>,
    /// Accounts whose auto-refill must look at the balance.
    pub refills_due: Vec<i32>,
    /// Marks of budgets.
    reached: Vec<Reached>,
}

impl Crossings {
    /// Notes what a row crossed.
    pub(super) fn note(&mut self, moved: Moved<'_>) {
        let Moved { account_key, sequence, before, after, spent_before, watched, at } = moved;
        if watched.refill_level.is_some_and(|level| crosses(before, after, level)) {
            self.refills_due.push(account_key);
        }
        for level in &watched.alert_levels {
            if crosses(before, after, *level) {
                self.facts.push(moved.alert(EventType::AlertBalanceBelow, *level));
            }
        }
        if crosses(before, after, Money::ZERO) {
            self.facts.push(moved.alert(EventType::AlertEmpty, Money::ZERO));
        }
        let spent = watched.spending.spent;
        let Some(budget) = watched.budget.as_ref().filter(|_| spent > spent_before) else { return };
        for mark in budget.crossed(spent_before, spent) {
            let of_row = Some(sequence);
            self.reached.push(Reached::new(account_key, of_row, at, budget, spent, mark));
        }
    }

    /// Writes what was noted, under the wallets' locks.
    pub(super) async fn write(
        &self,
        connection: &mut PgConnection,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        outbox::add(connection, &self.facts).await?;
        budget_marks::tell(connection, &self.reached).await?;
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

impl Moved<'_> {
    /// What is told of a level that it crossed.
    fn alert(&self, kind: EventType, level: Money) -> Fact {
        let Self { account_key, sequence, before, after, at, .. } = *self;
        let data = json!({
            "threshold": level, "balance_before": before, "balance_after": after,
            "transaction_id": TransactionId { account_key, sequence }.to_string(),
        });
        Fact { account_key, kind, at, sequence: Some(sequence), data: Some(data) }
    }
}
