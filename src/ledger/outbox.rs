//! The outbox: facts to tell, written in the transaction of what they tell.
//!
//! An event's number rises in the order of commits within an account, because the wallet is locked
//! while it is written. One process gives committed events their `position`, the order of all.
//! Consumers have names; each reads by position and keeps a cursor of its own.
//!
//! An event must never be written without the wallet's lock, nor outside the transaction of its
//! fact. Only notices of refused calls (`denials.rs`) have no place in that order.

use std::sync::LazyLock;

use callmeter_core::domain::{AccountId, EventType};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use sqlx::postgres::PgRow;
use sqlx::types::Uuid;
use sqlx::{PgConnection, Row};

use super::error::LedgerError;
use super::history::{self, Transaction, read_transaction};
use super::store::{Store, StoreError};

/// How long published events are kept.
const KEPT_FOR: TimeDelta = TimeDelta::days(30);
/// Most events that one statement gives a position, or deletes.
const STEP: i64 = 1_000;

/// A fact to tell.
#[derive(Clone, Debug, PartialEq)]
pub struct Fact {
    /// Its account.
    pub account_key: i32,
    /// What happened.
    pub kind: EventType,
    /// When.
    pub at: DateTime<Utc>,
    /// The transaction that it is about.
    pub sequence: Option<i64>,
    /// What is told; `None`: the transaction itself.
    pub data: Option<Value>,
}

impl Fact {
    /// A new row of the ledger.
    pub fn transaction(account_key: i32, sequence: i64, at: DateTime<Utc>) -> Self {
        let (kind, data) = (EventType::TransactionCreated, None);
        Self { account_key, kind, at, sequence: Some(sequence), data }
    }
}

/// Writes facts, under the lock of each one's wallet.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn add(connection: &mut PgConnection, facts: &[Fact]) -> Result<(), StoreError> {
    if facts.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "/* outbox::add */ INSERT INTO outbox (account_key, type, at, sequence, data)
         SELECT account_key, type, at, sequence, data
         FROM unnest($1::integer[], $2::text[], $3::timestamptz[], $4::bigint[], $5::jsonb[])
             WITH ORDINALITY AS new (account_key, type, at, sequence, data, place)
         ORDER BY place",
    )
    .bind(facts.iter().map(|fact| fact.account_key).collect::<Vec<_>>())
    .bind(facts.iter().map(|fact| fact.kind.as_str()).collect::<Vec<_>>())
    .bind(facts.iter().map(|fact| fact.at).collect::<Vec<_>>())
    .bind(facts.iter().map(|fact| fact.sequence).collect::<Vec<_>>())
    .bind(facts.iter().map(|fact| fact.data.clone()).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

/// Gives committed events their positions; returns how many. One process at a time.
///
/// # Errors
/// If Postgres is unavailable. `Conflict` if another process did it at the same time.
pub async fn order(store: &Store) -> Result<u64, StoreError> {
    let statement = || {
        sqlx::query(
            "/* outbox::order */
             WITH next AS (
                 SELECT event_number, row_number() OVER (ORDER BY event_number) AS place
                 FROM outbox WHERE position IS NULL ORDER BY event_number LIMIT $1)
             UPDATE outbox SET position = next.place + greatest(
                 (SELECT coalesce(max(position), 0) FROM outbox),
                 (SELECT coalesce(max(position), 0) FROM outbox_consumers))
             FROM next WHERE outbox.event_number = next.event_number",
        )
        .bind(STEP)
    };
    store.execute("outbox::order", statement).await
}

/// An event, as consumers read it.
#[derive(Clone, Debug)]
pub struct StoredEvent {
    /// Its place in the order of all events.
    pub position: i64,
    /// Its id, the same on every repeat.
    pub id: Uuid,
    /// Its account.
    pub account: AccountId,
    /// What happened.
    pub kind: EventType,
    /// When.
    pub at: DateTime<Utc>,
    /// What is told.
    pub told: Told,
}

/// What an event tells.
#[derive(Clone, Debug)]
pub enum Told {
    /// A row of the ledger.
    Transaction(Box<Transaction>),
    /// Anything else.
    Data(Value),
}

/// What [`read_event`] reads: of an event `o`, its account `a`, and its transaction `t`, if it has no
/// data of its own.
pub(super) static COLUMNS: LazyLock<String> = LazyLock::new(|| {
    let of_transaction = history::COLUMNS;
    format!(
        "o.position, o.event, o.type AS event_type, o.at AS told_at, o.data, a.id AS account,
         {of_transaction}"
    )
});

/// The events behind a position, in order.
///
/// # Errors
/// If Postgres is unavailable, or holds a value that cannot be read.
pub async fn after(
    connection: &mut PgConnection,
    position: i64,
    limit: i64,
) -> Result<Vec<StoredEvent>, LedgerError> {
    let statement = format!(
        "/* outbox::after */
         SELECT {} FROM outbox AS o JOIN accounts AS a USING (account_key)
             LEFT JOIN transactions AS t
                 ON o.data IS NULL AND t.account_key = o.account_key AND t.sequence = o.sequence
         WHERE o.position > $1 ORDER BY o.position LIMIT $2",
        *COLUMNS
    );
    let rows = sqlx::query(&statement).bind(position).bind(limit).fetch_all(connection).await?;
    rows.iter().map(read_event).collect()
}

/// Reads an event from [`COLUMNS`].
pub(super) fn read_event(row: &PgRow) -> Result<StoredEvent, LedgerError> {
    let told = match row.try_get::<Option<Value>, _>("data")? {
        Some(data) => Told::Data(data),
        None => Told::Transaction(Box::new(read_transaction(row)?)),
    };
    let kind = EventType::parse(row.try_get("event_type")?)
        .map_err(|error| LedgerError::unreadable("an event", error))?;
    let account = AccountId::parse(row.try_get("account")?)
        .map_err(|error| LedgerError::unreadable("an account id", error))?;
    let (position, id) = (row.try_get("position")?, row.try_get("event")?);
    Ok(StoredEvent { position, id, account, kind, at: row.try_get("told_at")?, told })
}

/// The position of the newest event; 0: there is none.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn newest(connection: &mut PgConnection) -> Result<i64, StoreError> {
    let newest =
        sqlx::query_scalar("/* outbox::newest */ SELECT coalesce(max(position), 0) FROM outbox");
    Ok(newest.fetch_one(connection).await?)
}

/// How far a consumer has come; a new one starts before the oldest event.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn cursor(connection: &mut PgConnection, consumer: &str) -> Result<i64, StoreError> {
    let position = sqlx::query_scalar(
        "/* outbox::cursor */ SELECT position FROM outbox_consumers WHERE name = $1",
    );
    Ok(position.bind(consumer).fetch_optional(connection).await?.unwrap_or_default())
}

/// The events that a consumer deals with next, by their positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Those behind this one,
    pub above: i64,
    /// up to and with this one.
    pub last: i64,
}

/// Moves a consumer's cursor over its next page, in the transaction that deals with the events.
/// `None`: there is none.
///
/// # Errors
/// If Postgres is unavailable.
pub(super) async fn take_page(
    connection: &mut PgConnection,
    consumer: &str,
    limit: i64,
    now: DateTime<Utc>,
) -> Result<Option<Span>, StoreError> {
    let above = cursor(connection, consumer).await?;
    let last: Option<i64> = sqlx::query_scalar(
        "/* outbox::take_page */
         INSERT INTO outbox_consumers AS c (name, position, moved_at)
         SELECT $1, max(position), $4 FROM (
             SELECT position FROM outbox WHERE position > $2 ORDER BY position LIMIT $3) AS page
         HAVING max(position) IS NOT NULL
         ON CONFLICT (name) DO UPDATE
         SET position = greatest(c.position, EXCLUDED.position), moved_at = EXCLUDED.moved_at
         RETURNING position",
    )
    .bind(consumer)
    .bind(above)
    .bind(limit)
    .bind(now)
    .fetch_optional(connection)
    .await?;
    Ok(last.map(|last| Span { above, last }))
}

/// Lets a consumer begin with what comes, unless it has begun.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn begin(store: &Store, consumer: &str, now: DateTime<Utc>) -> Result<(), StoreError> {
    let statement = || {
        sqlx::query(
            "/* outbox::begin */ INSERT INTO outbox_consumers (name, position, moved_at)
             SELECT $1, coalesce(max(position), 0), $2 FROM outbox ON CONFLICT DO NOTHING",
        )
        .bind(consumer)
        .bind(now)
    };
    store.execute("outbox::begin", statement).await.map(|_| ())
}

/// Forgets a consumer that is off, so that old events need not wait for it.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn forget(store: &Store, consumer: &str) -> Result<(), StoreError> {
    let statement = || {
        sqlx::query("/* outbox::forget */ DELETE FROM outbox_consumers WHERE name = $1")
            .bind(consumer)
    };
    store.execute("outbox::forget", statement).await.map(|_| ())
}

/// Moves a consumer's cursor, never back.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn advance(
    store: &Store,
    consumer: &str,
    position: i64,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let statement = || {
        sqlx::query(
            "/* outbox::advance */ INSERT INTO outbox_consumers AS c (name, position, moved_at)
             VALUES ($1, $2, $3) ON CONFLICT (name) DO UPDATE
             SET position = greatest(c.position, EXCLUDED.position), moved_at = EXCLUDED.moved_at",
        )
        .bind(consumer)
        .bind(position)
        .bind(now)
    };
    store.execute("outbox::advance", statement).await.map(|_| ())
}

/// Deletes old events that every consumer is done with; the newest one stays.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn purge(store: &Store, now: DateTime<Utc>) -> Result<u64, StoreError> {
    let statement = || {
        sqlx::query(
            "/* outbox::purge */ DELETE FROM outbox WHERE event_number IN (
                 SELECT event_number FROM outbox
                 WHERE at < $1 AND position < (SELECT min(position) FROM outbox_consumers)
                 ORDER BY at LIMIT $2)",
        )
        .bind(now - KEPT_FOR)
        .bind(STEP)
    };
    store.execute("outbox::purge", statement).await
}

/// Events that wait, of the consumer that is furthest behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// How many.
    pub events: i64,
    /// Time of the oldest.
    pub oldest_at: Option<DateTime<Utc>>,
}

/// Counts the events that a consumer has not dealt with.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn waiting(connection: &mut PgConnection, consumer: &str) -> Result<Waiting, StoreError> {
    let position = cursor(connection, consumer).await?;
    let (events, oldest_at) = sqlx::query_as(
        "/* outbox::waiting */ SELECT count(*), min(at) FROM outbox
         WHERE position > $1 OR position IS NULL",
    )
    .bind(position)
    .fetch_one(connection)
    .await?;
    Ok(Waiting { events, oldest_at })
}
