//! Partitions that make no progress although records wait, stored for `callmeter status`.
//!
//! The process that has the partition writes and deletes these rows. They decide nothing, and
//! charging neither reads nor writes them.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, Row};

use super::store::{Store, StoreError};
use crate::ingest::client::TopicPartition;

/// A stalled partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The record at which it stalls. If the stored offset differs, the stall is over.
    pub next_offset: i64,
    /// Since when records have waited.
    pub since: DateTime<Utc>,
    /// The known cause.
    pub cause: String,
}

/// Where a partition continues, and its stored stall.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredPlace {
    /// First offset not yet charged.
    pub next_offset: i64,
    /// The stored stall.
    pub kept: Option<Kept>,
}

/// The stored places of all partitions of some topics.
///
/// # Errors
/// If Postgres is unavailable or refuses the statement.
pub async fn places(
    store: &Store,
    topics: &[&str],
) -> Result<Vec<(TopicPartition, StoredPlace)>, StoreError> {
    let mut connection = store.regular().take().await?;
    let rows = sqlx::query(
        "-- stalls::places
         SELECT o.topic, o.partition, o.next_offset, s.next_offset, s.since, s.cause
         FROM partition_offsets AS o LEFT JOIN partition_stalls AS s USING (topic, partition)
         WHERE o.topic = ANY($1)",
    )
    .bind(topics)
    .fetch_all(&mut connection)
    .await?;
    store.regular().put_back(connection);
    let places = rows.iter().map(|row| {
        let kept = match row.try_get::<Option<i64>, _>(3)? {
            None => None,
            Some(next_offset) => {
                Some(Kept { next_offset, since: row.try_get(4)?, cause: row.try_get(5)? })
            }
        };
        let place = StoredPlace { next_offset: row.try_get(2)?, kept };
        Ok((TopicPartition { topic: row.try_get(0)?, partition: row.try_get(1)? }, place))
    });
    Ok(places.collect::<Result<_, sqlx::Error>>()?)
}

/// The stalls that are not over.
///
/// # Errors
/// If Postgres is unavailable or refuses the statement.
pub async fn list(
    connection: &mut PgConnection,
) -> Result<Vec<(TopicPartition, Kept)>, StoreError> {
    let rows = sqlx::query(
        "-- stalls::list
         SELECT topic, partition, s.next_offset, s.since, s.cause
         FROM partition_stalls AS s JOIN partition_offsets AS o USING (topic, partition)
         WHERE s.next_offset = o.next_offset",
    )
    .fetch_all(connection)
    .await?;
    let stalls = rows.iter().map(|row| {
        let name = TopicPartition { topic: row.try_get(0)?, partition: row.try_get(1)? };
        let (next_offset, since) = (row.try_get(2)?, row.try_get(3)?);
        Ok((name, Kept { next_offset, since, cause: row.try_get(4)? }))
    });
    Ok(stalls.collect::<Result<_, sqlx::Error>>()?)
}

/// Stores a stall; at the same record, `since` stays that of the first time.
///
/// # Errors
/// If Postgres is unavailable or refuses the statement.
pub async fn keep(store: &Store, name: &TopicPartition, kept: &Kept) -> Result<(), StoreError> {
    let statement = || {
        sqlx::query(
            "-- stalls::keep
             INSERT INTO partition_stalls AS s (topic, partition, next_offset, since, cause)
             VALUES ($1, $2, $3, $4, $5)
                 ON CONFLICT (topic, partition) DO UPDATE
                SET next_offset = EXCLUDED.next_offset, cause = EXCLUDED.cause,
                    since = CASE WHEN s.next_offset = EXCLUDED.next_offset
                                 THEN LEAST(s.since, EXCLUDED.since) ELSE EXCLUDED.since END",
        )
        .bind(&name.topic)
        .bind(name.partition)
        .bind(kept.next_offset)
        .bind(kept.since)
        .bind(&kept.cause)
    };
    store.execute("stalls::keep", statement).await?;
    Ok(())
}

/// Deletes the stored stall of a partition.
///
/// # Errors
/// If Postgres is unavailable or refuses the statement.
pub async fn forget(store: &Store, name: &TopicPartition) -> Result<(), StoreError> {
    let statement = || {
        sqlx::query(
            "-- stalls::forget
             DELETE FROM partition_stalls WHERE topic = $1 AND partition = $2",
        )
        .bind(&name.topic)
        .bind(name.partition)
    };
    store.execute("stalls::forget", statement).await?;
    Ok(())
}
