//! Where each partition continues: stored with the effects, moved by compare-and-set.

use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::{PgConnection, Row};

use super::audit::{self, Action, AuditEntry, By};
use super::store::{Store, StoreError};
use crate::ingest::batch::Batch;

/// A partition of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// Compact key of topic and partition.
    pub stream_key: i32,
    /// Topic.
    pub topic: String,
    /// Partition, from 0.
    pub partition: i32,
}

/// What is stored about a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredOffset {
    /// The partition.
    pub stream: Stream,
    /// First offset not yet charged.
    pub next_offset: i64,
    /// Status events of every record below it are applied to holds; it follows `next_offset`.
    pub signals_offset: i64,
    /// The Kafka cluster it belongs to.
    pub cluster_id: String,
    /// Kafka timestamp of the record before `next_offset`.
    pub last_record_at: Option<DateTime<Utc>>,
    /// When `next_offset` last moved.
    pub moved_at: DateTime<Utc>,
}

const COLUMNS: &str = "stream_key, topic, partition, next_offset, signals_offset, cluster_id, \
                       last_record_at, updated_at";

fn read(row: &sqlx::postgres::PgRow) -> Result<StoredOffset, sqlx::Error> {
    Ok(StoredOffset {
        stream: Stream {
            stream_key: row.try_get(0)?,
            topic: row.try_get(1)?,
            partition: row.try_get(2)?,
        },
        next_offset: row.try_get(3)?,
        signals_offset: row.try_get(4)?,
        cluster_id: row.try_get(5)?,
        last_record_at: row.try_get(6)?,
        moved_at: row.try_get(7)?,
    })
}

/// The stored offset of a partition; a new partition starts at `low`.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn open(
    store: &Store,
    topic: &str,
    partition: i32,
    low: i64,
    cluster_id: &str,
    now: DateTime<Utc>,
) -> Result<StoredOffset, StoreError> {
    if let Some(stored) = find(&mut *store.read().await?, topic, partition).await? {
        return Ok(stored);
    }
    let statement = || {
        sqlx::query(
            "/* offsets::open */
             INSERT INTO partition_offsets
                    (topic, partition, next_offset, signals_offset, cluster_id, updated_at)
             VALUES ($1, $2, $3, $3, $4, $5) ON CONFLICT (topic, partition) DO NOTHING",
        )
        .bind(topic)
        .bind(partition)
        .bind(low)
        .bind(cluster_id)
        .bind(now)
    };
    store.execute("offsets::open", statement).await?;
    let stored = find(&mut *store.read().await?, topic, partition).await?;
    stored.ok_or(StoreError::Refused(sqlx::Error::RowNotFound))
}

/// The stored offset of a partition; `None`: it was never opened.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn find(
    connection: &mut PgConnection,
    topic: &str,
    partition: i32,
) -> Result<Option<StoredOffset>, StoreError> {
    let statement = format!(
        "/* offsets::find */ SELECT {COLUMNS} FROM partition_offsets WHERE topic = $1 AND partition = $2"
    );
    let row =
        sqlx::query(&statement).bind(topic).bind(partition).fetch_optional(connection).await?;
    Ok(row.as_ref().map(read).transpose()?)
}

/// Every stored offset, by topic and partition.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn list(connection: &mut PgConnection) -> Result<Vec<StoredOffset>, StoreError> {
    let statement = format!(
        "/* offsets::list */ SELECT {COLUMNS} FROM partition_offsets ORDER BY topic, partition"
    );
    let rows = sqlx::query(&statement).fetch_all(connection).await?;
    Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
}

/// The result of moving a partition's offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Advanced {
    /// It is at the end of the batch.
    Moved,
    /// Another consumer moved it: it was no longer at this offset.
    Expected(i64),
}

/// Moves a partition's offset to the end of a batch, if it is still where the batch expects it.
pub(super) async fn advance(
    connection: &mut PgConnection,
    stream: &Stream,
    batch: &Batch,
    now: DateTime<Utc>,
) -> Result<Advanced, StoreError> {
    let moved = sqlx::query(
        "/* offsets::advance */
         UPDATE partition_offsets
            SET next_offset = $3, last_record_at = $4, updated_at = $5
          WHERE stream_key = $1 AND next_offset = $2",
    )
    .bind(stream.stream_key)
    .bind(batch.expected_offset)
    .bind(batch.next_offset)
    .bind(batch.last_record_at())
    .bind(now)
    .execute(connection)
    .await?;
    Ok(match moved.rows_affected() {
        1 => Advanced::Moved,
        _ => Advanced::Expected(batch.expected_offset),
    })
}

/// Stores up to where the status events of a partition are applied to holds. It only rises. A value
/// above `next_offset` is from before an operator set the offset, and is ignored.
///
/// # Errors
/// If Postgres is unavailable or refuses the statement.
pub async fn note_signals(
    store: &Store,
    stream: &Stream,
    signals_offset: i64,
) -> Result<(), StoreError> {
    let statement = || {
        sqlx::query(
            "/* offsets::note_signals */
             UPDATE partition_offsets SET signals_offset = $2
              WHERE stream_key = $1 AND signals_offset < $2 AND next_offset >= $2",
        )
        .bind(stream.stream_key)
        .bind(signals_offset)
    };
    store.execute("offsets::note_signals", statement).await?;
    Ok(())
}

/// An offset that an operator sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManualOffset {
    /// Topic.
    pub topic: String,
    /// Partition, from 0.
    pub partition: i32,
    /// The next offset to charge.
    pub next_offset: i64,
    /// The cluster that has it.
    pub cluster_id: String,
    /// Why; kept for good.
    pub reason: String,
}

/// Sets a partition's offset by hand, and keeps who changed what and why. Returns the offset before.
///
/// # Errors
/// If Postgres is unavailable or refuses the statement.
pub async fn set(
    connection: &mut PgConnection,
    set: &ManualOffset,
    by: &By,
) -> Result<Option<i64>, StoreError> {
    let ManualOffset { topic, partition, next_offset, cluster_id, reason } = set;
    let before = find(connection, topic, *partition).await?.map(|it| it.next_offset);
    sqlx::query(
        "/* offsets::set */
         INSERT INTO partition_offsets
                (topic, partition, next_offset, signals_offset, cluster_id, updated_at)
         VALUES ($1, $2, $3, $3, $4, $5)
             ON CONFLICT (topic, partition) DO UPDATE
            SET next_offset = EXCLUDED.next_offset, signals_offset = EXCLUDED.signals_offset,
                cluster_id = EXCLUDED.cluster_id, last_record_at = NULL,
                updated_at = EXCLUDED.updated_at",
    )
    .bind(topic)
    .bind(partition)
    .bind(next_offset)
    .bind(cluster_id)
    .bind(by.at)
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "/* offsets::set: kept */
         INSERT INTO offset_changes (topic, partition, from_offset, to_offset, reason, at)
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(topic)
    .bind(partition)
    .bind(before)
    .bind(next_offset)
    .bind(reason)
    .bind(by.at)
    .execute(&mut *connection)
    .await?;
    let entry = AuditEntry {
        action: Action::OffsetSet,
        account_key: None,
        subject: format!("{topic} {partition}"),
        before: json!(before.map(|offset| json!({ "next_offset": offset }))),
        after: json!({ "next_offset": next_offset }),
    };
    audit::note(connection, by, &entry).await?;
    Ok(before)
}
