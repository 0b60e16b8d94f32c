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
    /// The account that a refill was credited to: its unpaid rents are looked at.
    pub refilled: Option<i32>,
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
        if let Some(account_key) = self.refilled {
            look_at_rents(connection, account_key, now).await?;
        }
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

#[cfg(test)]
mod tests {
    use callmeter_core::policy::budget::{Budget, Spending};

    use super::*;

    fn dollars(dollars: i64) -> Money {
        Money::from_micros(dollars * 1_000_000)
    }

    /// Enters rows that take the balance along these levels, each debit spent; returns what they
    /// crossed: levels, and the number of marks.
    fn crossed(along: &[i64], levels: &[i64], budget: Option<i64>) -> (Vec<String>, usize) {
        let mut watched = Watched {
            refill_level: None,
            alert_levels: levels.iter().copied().map(dollars).collect(),
            budget: budget.map(|monthly| Budget {
                monthly: dollars(monthly),
                warn_at_percent: vec![50, 80],
                stop: false,
            }),
            spending: Spending::NONE,
            spent_sequence: 0,
        };
        let (mut crossings, at) = (Crossings::default(), DateTime::UNIX_EPOCH);
        for (row, two) in along.windows(2).enumerate() {
            let (before, after) = (dollars(two[0]), dollars(two[1]));
            let spent_before = watched.spending.enter(at, dollars(two[0] - two[1]));
            let sequence = i64::try_from(row + 1).unwrap();
            let (account_key, watched) = (7, &watched);
            let moved = Moved { account_key, sequence, before, after, spent_before, watched, at };
            crossings.note(moved);
        }
        let told = crossings.facts.iter().map(|fact| {
            let data = fact.data.as_ref().unwrap();
            let (threshold, id) = (&data["threshold"], &data["transaction_id"]);
            let words = [fact.kind.as_str(), threshold.as_str().unwrap(), id.as_str().unwrap()];
            words.join(" ").replace("alert.", "").replace(".000000", "")
        });
        (told.collect(), crossings.reached.len())
    }

    #[test]
    fn each_row_of_a_batch_is_judged_by_itself() {
        let (told, _) = crossed(&[30, 4, 1, 6, 5, 4, 20, -1, -2], &[20, 5, 0], None);
        let expected = [
            "balance_below 20 txn_7_1",
            "balance_below 5 txn_7_1",
            "balance_below 5 txn_7_5",
            "balance_below 20 txn_7_7",
            "balance_below 5 txn_7_7",
            "balance_below 0 txn_7_7",
            "empty 0 txn_7_7",
        ];
        assert_eq!(told, expected);
        assert_eq!(crossed(&[4, 3, 2], &[20, 5], None).0, [""; 0], "below from the start");
    }

    #[test]
    fn marks_are_noted_each_time_that_the_spending_rises_to_them() {
        assert_eq!(crossed(&[100, 96, 95, 94], &[], Some(10)).1, 1, "50 %");
        assert_eq!(crossed(&[100, 95, 97, 95], &[], Some(10)).1, 2, "50 %, down, and again");
        assert_eq!(crossed(&[100, 90], &[], Some(10)).1, 3, "50 %, 80 % and all of it");
        assert_eq!(crossed(&[100, 90], &[], None).1, 0);
    }
}
