//! The ledger as customers read it: transactions and charged calls, newest first, page by page.
//!
//! Reads only. A page begins below a number of the account's own gapless order, so that rows
//! written meanwhile shift nothing.

use callmeter_core::domain::{Money, TransactionKind, TransactionStatus, TransactionType};
use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use super::error::LedgerError;
pub use super::transaction_id::TransactionId;
use crate::ingest::decode::storable;

/// One row of the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the columns are documented in the schema")]
pub struct Transaction {
    pub account_key: i32,
    pub sequence: i64,
    pub at: DateTime<Utc>,
    pub direction: TransactionType,
    pub kind: TransactionKind,
    pub status: TransactionStatus,
    pub amount: Money,
    pub balance_before: Money,
    pub balance_after: Money,
    pub description: Option<String>,
    pub payment_intent_id: Option<String>,
    pub call_sid: Option<String>,
    pub refers_to: Option<i64>,
}

/// One charged call.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the columns are documented in the schema")]
pub struct ChargedCall {
    pub account_key: i32,
    pub charge_sequence: i64,
    pub call_sid: String,
    pub parent_call_sid: Option<String>,
    pub from: Option<String>,
    pub to: Option<String>,
    pub direction: Option<String>,
    pub started_at: DateTime<Utc>,
    pub seconds: i32,
    pub billed_seconds: i32,
    pub allowance_seconds: i32,
    pub wallet_seconds: i32,
    pub rate_per_minute: Money,
    pub amount: Money,
    pub plan: Option<String>,
    pub cycle_start: Option<DateTime<Utc>>,
    pub tag: Option<String>,
    pub transaction_sequence: Option<i64>,
}

/// A page of a list, and where the next one begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// Newest first.
    pub items: Vec<T>,
    /// The next page begins below this number; `None`: this was the last.
    pub next: Option<i64>,
}

/// Which page of a list to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// Only rows below this number.
    pub below: Option<i64>,
    /// Only rows at or after this time.
    pub from: Option<DateTime<Utc>>,
    /// Only rows before this time.
    pub to: Option<DateTime<Utc>>,
    /// Most rows; 1 or more.
    pub limit: u16,
}

/// What [`read_transaction`] reads of a row `t`.
pub(super) const COLUMNS: &str =
    "t.account_key, t.sequence, t.at, t.type::text AS type, t.kind::text AS kind,
    t.status::text AS status, t.amount_micros, t.balance_before_micros, t.balance_after_micros,
    t.description, t.payment_intent_id, t.call_sid, t.refers_to";

/// Which transactions to list; `None`: all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TransactionFilter {
    /// Only credits, or only debits.
    pub direction: Option<TransactionType>,
    /// Only of one kind.
    pub kind: Option<TransactionKind>,
    /// Only of one status.
    pub status: Option<TransactionStatus>,
}

/// Lists transactions of an account; `from` and `to` apply to their commit time.
///
/// # Errors
/// `Unreadable` if a row holds what this program never writes.
pub async fn transactions(
    connection: &mut PgConnection,
    account_key: i32,
    filter: &TransactionFilter,
    stretch: &Stretch,
) -> Result<Page<Transaction>, LedgerError> {
    listed(connection, account_key, filter, stretch, "true").await
}

/// As [`transactions`], of the rows `t` that meet a condition.
///
/// # Errors
/// As [`transactions`].
pub(super) async fn listed(
    connection: &mut PgConnection,
    account_key: i32,
    filter: &TransactionFilter,
    stretch: &Stretch,
    condition: &'static str,
) -> Result<Page<Transaction>, LedgerError> {
    let statement = format!(
        "-- history::listed
         SELECT {COLUMNS} FROM transactions AS t
         WHERE t.account_key = $1
           AND t.sequence < least($2, coalesce((SELECT first_transaction_since($1, $4)), $2))
           AND t.sequence >= coalesce((SELECT first_transaction_since($1, $3)), 1)
           AND ($5::text IS NULL OR t.type = $5::text::transaction_type)
           AND ($6::text IS NULL OR t.kind = $6::text::transaction_kind)
           AND ($7::text IS NULL OR t.status = $7::text::transaction_status)
           AND {condition}
         ORDER BY t.sequence DESC LIMIT $8"
    );
    let rows = sqlx::query(&statement)
        .bind(account_key)
        .bind(stretch.below.unwrap_or(i64::MAX))
        .bind(stretch.from)
        .bind(stretch.to)
        .bind(filter.direction.map(TransactionType::as_str))
        .bind(filter.kind.map(TransactionKind::as_str))
        .bind(filter.status.map(TransactionStatus::as_str))
        .bind(i64::from(stretch.limit) + 1)
        .fetch_all(connection)
        .await?;
    let items = rows.iter().map(read_transaction).collect::<Result<Vec<_>, _>>()?;
    Ok(page(items, stretch.limit, |transaction| transaction.sequence))
}

/// Reads one transaction of an account; `None`: it has none with that number.
///
/// # Errors
/// As [`transactions`].
pub async fn transaction(
    connection: &mut PgConnection,
    account_key: i32,
    sequence: i64,
) -> Result<Option<Transaction>, LedgerError> {
    let statement = format!(
        "-- history::transaction
         SELECT {COLUMNS} FROM transactions AS t WHERE t.account_key = $1 AND t.sequence = $2"
    );
    let row = sqlx::query(&statement).bind(account_key).bind(sequence);
    let row = row.fetch_optional(connection).await?;
    row.as_ref().map(read_transaction).transpose()
}

/// Lists charged calls of an account in the order they were charged; `from` and `to` apply to their
/// start.
///
/// # Errors
/// If Postgres fails, or holds a value that cannot be read.
pub async fn calls(
    connection: &mut PgConnection,
    account_key: i32,
    tag: Option<&str>,
    stretch: &Stretch,
) -> Result<Page<ChargedCall>, LedgerError> {
    let rows = sqlx::query(
        "-- history::calls
         SELECT account_key, charge_sequence, call_sid, parent_call_sid,
             nullif(call_from, '') AS call_from, nullif(call_to, '') AS call_to,
             direction, started_at, seconds, billed_seconds, allowance_seconds, wallet_seconds,
             rate_micros, amount_micros, plan, cycle_start, tag, transaction_sequence
         FROM charges
         WHERE account_key = $1 AND charge_sequence < $2
           AND started_at >= coalesce($3, '-infinity') AND started_at < coalesce($4, 'infinity')
           AND ($5::text IS NULL OR tag IN ($5, $7))
         ORDER BY charge_sequence DESC LIMIT $6",
    )
    .bind(account_key)
    .bind(stretch.below.unwrap_or(i64::MAX))
    .bind(stretch.from)
    .bind(stretch.to)
    .bind(tag)
    .bind(i64::from(stretch.limit) + 1)
    // A stored event tag is truncated, so the filter is too.
    .bind(tag.and_then(storable))
    .fetch_all(connection)
    .await?;
    let items = rows.iter().map(read_call).collect::<Result<Vec<_>, _>>()?;
    Ok(page(items, stretch.limit, |call| call.charge_sequence))
}

/// Drops the extra row, which only shows whether there is a next page.
pub(super) fn page<T>(mut items: Vec<T>, limit: u16, number: impl Fn(&T) -> i64) -> Page<T> {
    let more = items.len() > usize::from(limit);
    items.truncate(usize::from(limit));
    let next = if more { items.last().map(number) } else { None };
    Page { items, next }
}

pub(super) fn read_transaction(row: &PgRow) -> Result<Transaction, LedgerError> {
    let unreadable = |error| LedgerError::unreadable("a transaction", error);
    Ok(Transaction {
        account_key: row.try_get("account_key")?,
        sequence: row.try_get("sequence")?,
        at: row.try_get("at")?,
        direction: TransactionType::parse(row.try_get("type")?).map_err(unreadable)?,
        kind: TransactionKind::parse(row.try_get("kind")?).map_err(unreadable)?,
        status: TransactionStatus::parse(row.try_get("status")?).map_err(unreadable)?,
        amount: Money::from_micros(row.try_get("amount_micros")?),
        balance_before: Money::from_micros(row.try_get("balance_before_micros")?),
        balance_after: Money::from_micros(row.try_get("balance_after_micros")?),
        description: row.try_get("description")?,
        payment_intent_id: row.try_get("payment_intent_id")?,
        call_sid: row.try_get("call_sid")?,
        refers_to: row.try_get("refers_to")?,
    })
}

pub(super) fn read_call(row: &PgRow) -> Result<ChargedCall, LedgerError> {
    Ok(ChargedCall {
        account_key: row.try_get("account_key")?,
        charge_sequence: row.try_get("charge_sequence")?,
        call_sid: row.try_get("call_sid")?,
        parent_call_sid: row.try_get("parent_call_sid")?,
        from: row.try_get("call_from")?,
        to: row.try_get("call_to")?,
        direction: row.try_get("direction")?,
        started_at: row.try_get("started_at")?,
        seconds: row.try_get("seconds")?,
        billed_seconds: row.try_get("billed_seconds")?,
        allowance_seconds: row.try_get("allowance_seconds")?,
        wallet_seconds: row.try_get("wallet_seconds")?,
        rate_per_minute: Money::from_micros(row.try_get("rate_micros")?),
        amount: Money::from_micros(row.try_get("amount_micros")?),
        plan: row.try_get("plan")?,
        cycle_start: row.try_get("cycle_start")?,
        tag: row.try_get("tag")?,
        transaction_sequence: row.try_get("transaction_sequence")?,
    })
}
