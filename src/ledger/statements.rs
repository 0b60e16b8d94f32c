//! Statements: a wallet's opening balance of a month, its movements, and its closing balance.
//!
//! Months are UTC, by `at`, the commit time. A closed month never changes again: closing raises the
//! wallet's `last_at` to the end of the month, under the wallet's lock. Every row is written at
//! `last_at` or later, so none can fall into the month, however long its transaction takes and
//! whatever its clock says.

use callmeter_core::domain::{AccountId, Money, TransactionKind, TransactionType};
use chrono::{DateTime, Datelike, Months, NaiveDate, NaiveTime, Utc};
use sqlx::{PgConnection, Row};

use super::accounts;
use super::error::LedgerError;
use super::wallets;

/// A UTC calendar month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Month(NaiveDate);

impl Month {
    /// Its start.
    pub fn start(self) -> DateTime<Utc> {
        self.0.and_time(NaiveTime::MIN).and_utc()
    }

    /// Its end, exclusive.
    pub fn end(self) -> DateTime<Utc> {
        let next = self.0.checked_add_months(Months::new(1)).unwrap_or(NaiveDate::MAX);
        next.and_time(NaiveTime::MIN).and_utc()
    }
}

impl std::fmt::Display for Month {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{:04}-{:02}", self.0.year(), self.0.month())
    }
}

impl std::str::FromStr for Month {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let read = || {
            let (year, month) = text.split_once('-')?;
            let first = NaiveDate::from_ymd_opt(year.parse().ok()?, month.parse().ok()?, 1)?;
            let month = Self(first);
            // Only one of the many spellings of a number.
            (1900..=9999).contains(&first.year()).then_some(month)
        };
        read().filter(|month| month.to_string() == text).ok_or("is no month such as 2026-11")
    }
}

/// The total of one kind of transaction in a month.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Total {
    /// Credit or debit.
    pub direction: TransactionType,
    /// The kind.
    pub kind: TransactionKind,
    /// How many moved money.
    pub transactions: i64,
    /// Their sum.
    pub amount: Money,
}

/// One month of a wallet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// True if it can no longer change.
    pub is_closed: bool,
    /// Balance at its start.
    pub opening: Money,
    /// Its movements, by kind.
    pub totals: Vec<Total>,
    /// Sum of the credits.
    pub credits: Money,
    /// Sum of the debits.
    pub debits: Money,
    /// Balance at its end, or now.
    pub closing: Money,
}

/// Closes a month that is over, and reads it; `None`: there is no such account, or the month has
/// not begun.
///
/// # Errors
/// `Unreadable` if opening balance, totals and closing balance do not add up.
pub async fn read(
    connection: &mut PgConnection,
    id: &AccountId,
    month: Month,
    now: DateTime<Utc>,
) -> Result<Option<Statement>, LedgerError> {
    let Some(account_key) = accounts::key_of(connection, id).await? else { return Ok(None) };
    if month.start() > now {
        return Ok(None);
    }
    let is_closed = close(connection, account_key, month.end(), now).await?;
    let (first, above) = rows_of(connection, account_key, month).await?;
    let opening = balance_below(connection, account_key, first).await?;
    let closing = balance_below(connection, account_key, above).await?;
    let totals = totals(connection, account_key, first, above).await?;
    let sum = |direction| {
        let amounts = totals.iter().filter(|total| total.direction == direction);
        amounts.map(|total| total.amount).try_fold(Money::ZERO, Money::checked_add)
    };
    let (credits, debits) = (sum(TransactionType::Credit), sum(TransactionType::Debit));
    let (Some(credits), Some(debits)) = (credits, debits) else {
        return Err(LedgerError::unreadable("a statement", "its sums are out of range"));
    };
    let adds_up = opening.checked_add(credits).and_then(|sum| sum.checked_sub(debits));
    if adds_up != Some(closing) {
        let fault = format!(
            "account {account_key}, {month}: {opening} + {credits} - {debits} is not {closing}"
        );
        return Err(LedgerError::unreadable("a statement", fault));
    }
    Ok(Some(Statement { is_closed, opening, totals, credits, debits, closing }))
}

/// Once `end` has passed, ensures that no later row falls before it; returns whether that is so.
async fn close(
    connection: &mut PgConnection,
    account_key: i32,
    end: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<bool, LedgerError> {
    let last_at: DateTime<Utc> = sqlx::query_scalar(
        "-- statements::close, whether it is
         SELECT last_at FROM wallets WHERE account_key = $1",
    )
    .bind(account_key)
    .fetch_one(&mut *connection)
    .await?;
    if last_at >= end || now < end {
        return Ok(last_at >= end);
    }
    // Every writer of a row has the wallet's lock until it commits.
    wallets::lock(connection, account_key).await?;
    sqlx::query(
        "-- statements::close
         UPDATE wallets SET last_at = $2 WHERE account_key = $1 AND last_at < $2",
    )
    .bind(account_key)
    .bind(end)
    .execute(connection)
    .await?;
    Ok(true)
}

/// Numbers of the month's first row and of the first one after it. Rows below the latter never
/// change, so later reads of them are consistent.
async fn rows_of(
    connection: &mut PgConnection,
    account_key: i32,
    month: Month,
) -> Result<(i64, i64), LedgerError> {
    let row = sqlx::query(
        "-- statements::rows_of
         SELECT first_transaction_since($1, $2), first_transaction_since($1, $3)",
    )
    .bind(account_key)
    .bind(month.start())
    .bind(month.end())
    .fetch_one(connection)
    .await?;
    Ok((row.try_get(0)?, row.try_get(1)?))
}

/// The balance before a row; zero before the first.
async fn balance_below(
    connection: &mut PgConnection,
    account_key: i32,
    sequence: i64,
) -> Result<Money, LedgerError> {
    let balance: Option<i64> = sqlx::query_scalar(
        "-- statements::balance_below
         SELECT balance_after_micros FROM transactions
         WHERE account_key = $1 AND sequence = $2 - 1",
    )
    .bind(account_key)
    .bind(sequence)
    .fetch_optional(connection)
    .await?;
    Ok(Money::from_micros(balance.unwrap_or(0)))
}

async fn totals(
    connection: &mut PgConnection,
    account_key: i32,
    first: i64,
    above: i64,
) -> Result<Vec<Total>, LedgerError> {
    let rows = sqlx::query(
        "-- statements::totals
         SELECT type::text AS type, kind::text AS kind, count(*) AS transactions,
             sum(amount_micros)::bigint AS amount
         FROM transactions
         WHERE account_key = $1 AND sequence >= $2 AND sequence < $3 AND status = 'completed'
         GROUP BY transactions.type, transactions.kind
         ORDER BY transactions.type, transactions.kind",
    )
    .bind(account_key)
    .bind(first)
    .bind(above)
    .fetch_all(connection)
    .await?;
    let unreadable = |error| LedgerError::unreadable("a transaction", error);
    let total = |row: &sqlx::postgres::PgRow| {
        Ok(Total {
            direction: TransactionType::parse(row.try_get("type")?).map_err(unreadable)?,
            kind: TransactionKind::parse(row.try_get("kind")?).map_err(unreadable)?,
            transactions: row.try_get("transactions")?,
            amount: Money::from_micros(row.try_get("amount")?),
        })
    };
    rows.iter().map(total).collect()
}

#[cfg(test)]
mod tests {
    use super::Month;

    #[test]
    fn a_month_is_read_from_its_one_spelling_and_ends_where_the_next_begins() {
        let month: Month = "2024-02".parse().unwrap();
        assert_eq!(month.to_string(), "2024-02");
        assert_eq!(month.start().to_rfc3339(), "2024-02-01T00:00:00+00:00");
        assert_eq!(month.end().to_rfc3339(), "2024-03-01T00:00:00+00:00");
        for wrong in ["", "2024", "2024-2", "2024-13", "2024-00", "24-02", "2024-02-01", "+2024-02"]
        {
            assert!(wrong.parse::<Month>().is_err(), "{wrong}");
        }
    }
}
