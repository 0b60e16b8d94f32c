//! What customers have in their wallets, all together: at an instant, and from one to another.
//!
//! Everything comes from the transactions alone. Each function is one statement, so that charging
//! beside it cannot make its figures disagree.

use std::collections::BTreeMap;

use callmeter_core::domain::{AdjustmentReason, Money, TransactionKind, TransactionType};
use chrono::{DateTime, Utc};
use sqlx::{PgConnection, Row};

use super::error::LedgerError;

/// Wallets on one side of zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Side {
    /// How many.
    pub wallets: i64,
    /// The sum of their balances; negative on the side of debts.
    pub amount: Money,
}

/// All wallets at an instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Liability {
    /// Balances above zero: what we owe to customers.
    pub positive: Side,
    /// Balances below zero: what customers owe to us.
    pub negative: Side,
}

/// What moved all wallets from one instant to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RollForward {
    /// At the start.
    pub opening: Liability,
    /// The number and sum of completed rows, by kind; every kind is there.
    pub movements: BTreeMap<TransactionKind, (i64, Money)>,
    /// Those of the adjustments that were given a reason.
    pub reasons: BTreeMap<(TransactionKind, AdjustmentReason), (i64, Money)>,
    /// At the end.
    pub closing: Liability,
}

impl Liability {
    /// Both sides together.
    pub fn total(&self) -> Option<Money> {
        self.positive.amount.checked_add(self.negative.amount)
    }
}

impl RollForward {
    /// The sum of the movements: credits less debits.
    pub fn moved(&self) -> Option<Money> {
        self.movements.iter().try_fold(Money::ZERO, |sum, (kind, (_, amount))| {
            match kind.transaction_type() {
                TransactionType::Credit => sum.checked_add(*amount),
                TransactionType::Debit => sum.checked_sub(*amount),
            }
        })
    }

    /// Opening and movements less closing: zero, or the ledger is not right.
    pub fn difference(&self) -> Option<Money> {
        let expected = self.opening.total()?.checked_add(self.moved()?)?;
        expected.checked_sub(self.closing.total()?)
    }
}

/// Sums the balances of all wallets after the rows before `end`.
///
/// # Errors
/// If Postgres fails, or the sum is out of range.
pub async fn before(
    connection: &mut PgConnection,
    end: DateTime<Utc>,
) -> Result<Liability, LedgerError> {
    let row = sqlx::query(
        "/* liability::before */
         SELECT count(*) FILTER (WHERE balance > 0),
             coalesce(sum(balance) FILTER (WHERE balance > 0), 0)::bigint,
             count(*) FILTER (WHERE balance < 0),
             coalesce(sum(balance) FILTER (WHERE balance < 0), 0)::bigint
         FROM wallets CROSS JOIN LATERAL (
             SELECT balance_after_micros AS balance FROM transactions
             WHERE transactions.account_key = wallets.account_key
               AND sequence = first_transaction_since(wallets.account_key, $1) - 1) AS last",
    )
    .bind(end)
    .fetch_one(connection)
    .await?;
    let side = |at: usize| {
        let amount = Money::from_micros(row.try_get(at + 1)?);
        Ok::<_, LedgerError>(Side { wallets: row.try_get(at)?, amount })
    };
    Ok(Liability { positive: side(0)?, negative: side(2)? })
}

/// Sums the balances of all wallets before the rows of a period, the rows, and the balances after
/// them. The period includes `begin` and excludes `end`.
///
/// # Errors
/// If Postgres fails, or a sum is out of range.
pub async fn roll_forward(
    connection: &mut PgConnection,
    begin: DateTime<Utc>,
    end: DateTime<Utc>,
) -> Result<RollForward, LedgerError> {
    let rows = sqlx::query(
        "/* liability::roll_forward */
         WITH ranges AS MATERIALIZED (
             SELECT account_key, first_transaction_since(account_key, $1) AS first,
                 first_transaction_since(account_key, $2) AS above
             FROM wallets),
         balances AS (
             SELECT 'opening' AS part, balance_after_micros AS balance
             FROM ranges JOIN transactions USING (account_key) WHERE sequence = first - 1
             UNION ALL
             SELECT 'closing', balance_after_micros
             FROM ranges JOIN transactions USING (account_key) WHERE sequence = above - 1)
         SELECT part, balance > 0 AS is_positive, count(*) AS rows, sum(balance)::bigint AS amount
         FROM balances WHERE balance <> 0 GROUP BY 1, 2
         UNION ALL
         SELECT kind::text, NULL, count(*), sum(amount_micros)::bigint
         FROM ranges JOIN transactions USING (account_key)
         WHERE sequence >= first AND sequence < above AND status = 'completed' GROUP BY kind
         UNION ALL
         SELECT kind || ' ' || reason, NULL, count(*), sum(amount_micros)::bigint
         FROM ranges JOIN adjustment_reasons USING (account_key)
         JOIN transactions USING (account_key, sequence)
         WHERE sequence >= first AND sequence < above AND status = 'completed'
         GROUP BY kind, reason",
    )
    .bind(begin)
    .bind(end)
    .fetch_all(connection)
    .await?;
    let nothing = |kind: &TransactionKind| (*kind, (0, Money::ZERO));
    let mut found = RollForward {
        opening: Liability::default(),
        movements: TransactionKind::ALL.iter().map(nothing).collect(),
        reasons: BTreeMap::new(),
        closing: Liability::default(),
    };
    for row in &rows {
        let (part, is_positive): (String, Option<bool>) =
            (row.try_get("part")?, row.try_get("is_positive")?);
        let (count, amount) = (row.try_get("rows")?, Money::from_micros(row.try_get("amount")?));
        let Some(is_positive) = is_positive else {
            let unreadable = |error| LedgerError::unreadable("a transaction", error);
            let (kind, reason) = part.split_once(' ').unwrap_or((&part, ""));
            let kind = TransactionKind::parse(kind).map_err(unreadable)?;
            if reason.is_empty() {
                found.movements.insert(kind, (count, amount));
            } else {
                let reason = AdjustmentReason::parse(reason).map_err(unreadable)?;
                found.reasons.insert((kind, reason), (count, amount));
            }
            continue;
        };
        let of = if part == "opening" { &mut found.opening } else { &mut found.closing };
        let side = if is_positive { &mut of.positive } else { &mut of.negative };
        *side = Side { wallets: count, amount };
    }
    Ok(found)
}
