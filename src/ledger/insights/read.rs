//! Reads the sums of one account, and adds the rows of the ledger that they do not count yet.
//!
//! All functions belong in one snapshot: between two others a job may count rows, and they would be
//! seen twice or not at all.

use callmeter_core::domain::{
    AccountId, Money, SubscriptionId, SubscriptionTimeline, TransactionKind, cycle_containing,
};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use sqlx::{PgConnection, Row};

use super::{Days, spending, usage};
use crate::ledger::error::LedgerError;

/// The longest cycle, in days.
const CYCLE_DAYS_MAX: i64 = 31;

/// An account, and up to which rows its sums count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Internal key.
    pub account_key: i32,
    /// Number of the last transaction that they count.
    pub transactions: i64,
    /// Number of the last charge that they count.
    pub charges: i64,
}

/// What was spent on a day on one kind of transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpendingDay {
    /// The UTC day.
    pub day: NaiveDate,
    /// The kind: a debit, or `refund`.
    pub kind: TransactionKind,
    /// The sum; refunds are negative.
    pub amount: Money,
}

/// The calls of some days.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Charged calls, zero-cost ones too.
    pub calls: i64,
    /// Seconds that they lasted.
    pub seconds: i64,
    /// Seconds that those lasted that were billed.
    pub talked_seconds: i64,
    /// Billed seconds.
    pub billed_seconds: i64,
    /// What the wallet paid for billed seconds that nobody talked.
    pub rounding: Money,
}

/// The overage of a cycle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CycleUsage {
    /// Start, inclusive.
    pub start: DateTime<Utc>,
    /// End, exclusive: where the next plan cuts it.
    pub end: DateTime<Utc>,
    /// Calls of the cycle.
    pub calls: i64,
    /// Seconds beyond the allowance.
    pub overage_seconds: i64,
    /// What the wallet paid for them.
    pub amount: Money,
}

/// Finds an account; `None`: there is none.
///
/// # Errors
/// If Postgres fails.
pub async fn counted(
    connection: &mut PgConnection,
    id: &AccountId,
) -> Result<Option<Counted>, LedgerError> {
    let row = sqlx::query(
        "/* insights::counted */
         SELECT account_key, coalesce(p.transaction_sequence, 0) AS transactions,
             coalesce(p.charge_sequence, 0) AS charges
         FROM accounts LEFT JOIN insight_progress AS p USING (account_key) WHERE id = $1",
    )
    .bind(id.as_str())
    .fetch_optional(connection)
    .await?;
    let read = |row: sqlx::postgres::PgRow| {
        Ok(Counted {
            account_key: row.try_get("account_key")?,
            transactions: row.try_get("transactions")?,
            charges: row.try_get("charges")?,
        })
    };
    row.map(read).transpose()
}

/// What was spent, by day and kind, in the order of days.
///
/// # Errors
/// `Unreadable` if a sum is out of range or a kind unknown.
pub async fn spending_by_day(
    connection: &mut PgConnection,
    counted: Counted,
    days: Days,
) -> Result<Vec<SpendingDay>, LedgerError> {
    let rows = sqlx::query(concat!(
        "/* insights::spending_by_day */
         SELECT day, kind::text AS kind, sum(micros)::bigint AS micros FROM (
             SELECT day, kind, amount_micros AS micros FROM spending_days
             WHERE account_key = $1 AND day BETWEEN $3 AND $4
             UNION ALL
             SELECT (at AT TIME ZONE 'UTC')::date, kind, ",
        spending!(micros),
        "
             FROM transactions
             WHERE account_key = $1 AND sequence > $2 AND at >= $5 AND at < $6 AND ",
        spending!(is_counted),
        ") AS parts
         GROUP BY parts.day, parts.kind ORDER BY parts.day, parts.kind"
    ))
    .bind(counted.account_key)
    .bind(counted.transactions)
    .bind(days.first())
    .bind(days.last())
    .bind(days.begins_at())
    .bind(days.ends_at())
    .fetch_all(connection)
    .await?;
    let unreadable = |error| LedgerError::unreadable("a sum of a day", error);
    let read = |row: &sqlx::postgres::PgRow| {
        Ok(SpendingDay {
            day: row.try_get("day")?,
            kind: TransactionKind::parse(row.try_get("kind")?).map_err(unreadable)?,
            amount: Money::from_micros(row.try_get("micros")?),
        })
    };
    rows.iter().map(read).collect()
}

/// What was spent in some days, all kinds together. Below zero if more was given back.
///
/// # Errors
/// `Unreadable` if the sum is out of range.
pub async fn spent(
    connection: &mut PgConnection,
    counted: Counted,
    days: Days,
) -> Result<Money, LedgerError> {
    let days = spending_by_day(connection, counted, days).await?;
    let sum = days.iter().try_fold(Money::ZERO, |sum, day| sum.checked_add(day.amount));
    sum.ok_or_else(|| LedgerError::unreadable("a sum of days", "it is out of range"))
}

/// The calls that were charged in some days.
///
/// # Errors
/// If Postgres fails, or a sum is out of range.
pub async fn usage(
    connection: &mut PgConnection,
    counted: Counted,
    days: Days,
) -> Result<Usage, LedgerError> {
    let row = sqlx::query(concat!(
        "/* insights::usage */
         SELECT coalesce(sum(calls), 0)::bigint AS calls,
             coalesce(sum(seconds), 0)::bigint AS seconds,
             coalesce(sum(talked_seconds), 0)::bigint AS talked_seconds,
             coalesce(sum(billed_seconds), 0)::bigint AS billed_seconds,
             coalesce(sum(rounding_micros), 0)::bigint AS rounding_micros
         FROM (
             SELECT calls, seconds, talked_seconds, billed_seconds, rounding_micros FROM usage_days
             WHERE account_key = $1 AND day BETWEEN $3 AND $4
             UNION ALL
             SELECT 1, seconds, talked_seconds, billed_seconds, rounding_micros FROM (
                 SELECT ",
        usage!(),
        "
                 FROM charges
                 WHERE account_key = $1 AND charge_sequence > $2
                     AND charged_at >= $5 AND charged_at < $6) AS charged) AS parts"
    ))
    .bind(counted.account_key)
    .bind(counted.charges)
    .bind(days.first())
    .bind(days.last())
    .bind(days.begins_at())
    .bind(days.ends_at())
    .fetch_one(connection)
    .await?;
    Ok(Usage {
        calls: row.try_get("calls")?,
        seconds: row.try_get("seconds")?,
        talked_seconds: row.try_get("talked_seconds")?,
        billed_seconds: row.try_get("billed_seconds")?,
        rounding: Money::from_micros(row.try_get("rounding_micros")?),
    })
}

/// The cycles with calls that touch some days, in the order of their starts, each whole.
///
/// # Errors
/// If Postgres fails, or a sum is out of range.
pub async fn cycles(
    connection: &mut PgConnection,
    counted: Counted,
    timeline: &SubscriptionTimeline,
    days: Days,
) -> Result<Vec<CycleUsage>, LedgerError> {
    let (begins_at, ends_at) = (days.begins_at(), days.ends_at());
    let rows = sqlx::query(
        "/* insights::cycles */
         SELECT cycle_start, starts_at, sum(calls)::bigint AS calls,
             sum(wallet_seconds)::bigint AS wallet_seconds,
             sum(parts.amount_micros)::bigint AS amount_micros
         FROM (
             SELECT subscription_id, cycle_start, calls, wallet_seconds, amount_micros
             FROM usage_cycles WHERE account_key = $1 AND cycle_start >= $3 AND cycle_start < $4
             UNION ALL
             SELECT subscription_id, cycle_start, 1, wallet_seconds, amount_micros
             FROM charges WHERE account_key = $1 AND charge_sequence > $2
                 AND cycle_start >= $3 AND cycle_start < $4) AS parts
         JOIN subscriptions AS s ON s.account_key = $1 AND s.subscription_id = parts.subscription_id
         GROUP BY cycle_start, starts_at ORDER BY cycle_start, starts_at",
    )
    .bind(counted.account_key)
    .bind(counted.charges)
    .bind(begins_at - TimeDelta::days(CYCLE_DAYS_MAX))
    .bind(ends_at)
    .fetch_all(connection)
    .await?;
    let mut cycles = Vec::with_capacity(rows.len());
    for row in rows {
        let start: DateTime<Utc> = row.try_get("cycle_start")?;
        let whole = cycle_containing(row.try_get("starts_at")?, start);
        let next = timeline.iter().map(|entry| entry.starts_at).find(|at| *at > start);
        let cycle = CycleUsage {
            start,
            end: next.map_or(whole.end, |next| whole.end.min(next)),
            calls: row.try_get("calls")?,
            overage_seconds: row.try_get("wallet_seconds")?,
            amount: Money::from_micros(row.try_get("amount_micros")?),
        };
        if cycle.end > begins_at {
            cycles.push(cycle);
        }
    }
    Ok(cycles)
}

/// The calls of a cycle, and whether they went beyond its allowance. One statement, so it needs no
/// snapshot.
///
/// # Errors
/// If Postgres fails.
pub async fn cycle(
    connection: &mut PgConnection,
    account_key: i32,
    subscription: SubscriptionId,
    start: DateTime<Utc>,
) -> Result<(i64, bool), LedgerError> {
    let found = sqlx::query_as(
        "/* insights::cycle */
         SELECT coalesce(sum(calls), 0)::bigint, coalesce(sum(wallet_seconds), 0) > 0 FROM (
             SELECT calls, wallet_seconds FROM usage_cycles
             WHERE account_key = $1 AND subscription_id = $2 AND cycle_start = $3
             UNION ALL
             SELECT 1, wallet_seconds FROM charges
             WHERE account_key = $1 AND subscription_id = $2 AND cycle_start = $3
                 AND charge_sequence > coalesce(
                     (SELECT charge_sequence FROM insight_progress WHERE account_key = $1), 0)
         ) AS parts",
    )
    .bind(account_key)
    .bind(subscription.0)
    .bind(start)
    .fetch_one(connection)
    .await?;
    Ok(found)
}
