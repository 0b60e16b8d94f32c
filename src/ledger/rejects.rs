//! Records that could not be charged: kept by the charging loop, listed and replayed from here.

use callmeter_core::domain::Money;
use chrono::{DateTime, Utc};
use sqlx::Row;

use super::audit::By;
use super::batch::{Charger, CommitError, Outcome, Source};
use super::offsets::{self, Stream};
use super::store::{Store, StoreError};
use crate::ingest::batch::Batch;
use crate::ingest::decode::{Limits, Topic, decode};

/// A kept record, without its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// Its number.
    pub id: i64,
    /// Topic it came from.
    pub topic: String,
    /// Partition it came from.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Its Kafka timestamp.
    pub record_at: Option<DateTime<Utc>>,
    /// `undecodable`, `invalid`, `unknown_account` or `conflict`.
    pub reason: String,
    /// What exactly was found.
    pub detail: String,
    /// How often it came, for a conflict.
    pub count: i64,
    /// When it was kept.
    pub at: DateTime<Utc>,
    /// When a replay settled it.
    pub replayed_at: Option<DateTime<Utc>>,
    /// How long the record is.
    pub bytes: i32,
}

/// A kept record with its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedRecord {
    /// What is known about it.
    pub reject: Reject,
    /// Key, as it came.
    pub key: Option<Vec<u8>>,
    /// Value, as it came; `None` where it was empty or is left in Kafka because of the cap.
    pub value: Option<Vec<u8>>,
}

impl RejectedRecord {
    /// True where the total cap was reached: Kafka alone has the bytes.
    pub const fn is_left_in_kafka(&self) -> bool {
        self.value.is_none() && self.reject.bytes > 0
    }
}

/// Which rejects are meant.
#[derive(Clone, Debug, Default)]
pub struct RejectFilter {
    /// Of this reason only.
    pub reason: Option<String>,
    /// Those that a replay settled, too.
    pub with_replayed: bool,
}

/// What a replay came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// What the record is now.
    pub outcome: Outcome,
    /// What it took from the wallet.
    pub debited: Money,
}

/// How many open rejects there are of a reason, and how many bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectTotal {
    /// The reason.
    pub reason: String,
    /// How many.
    pub records: i64,
    /// The oldest one's instant.
    pub oldest_at: DateTime<Utc>,
}

const COLUMNS: &str =
    "reject_id, topic, partition, record_offset, record_at, reason, detail, count,
    rejected_at, replayed_at, record_bytes";

fn read(row: &sqlx::postgres::PgRow) -> Result<Reject, sqlx::Error> {
    Ok(Reject {
        id: row.try_get(0)?,
        topic: row.try_get(1)?,
        partition: row.try_get(2)?,
        offset: row.try_get(3)?,
        record_at: row.try_get(4)?,
        reason: row.try_get(5)?,
        detail: row.try_get(6)?,
        count: row.try_get(7)?,
        at: row.try_get(8)?,
        replayed_at: row.try_get(9)?,
        bytes: row.try_get(10)?,
    })
}

/// At most `limit` rejects with a number above `after`, by number.
///
/// # Errors
/// Where Postgres cannot be asked.
pub async fn list(
    store: &Store,
    filter: &RejectFilter,
    after: i64,
    limit: i64,
) -> Result<Vec<Reject>, StoreError> {
    let statement = format!(
        "/* rejects::list */ SELECT {COLUMNS} FROM rejects
          WHERE reject_id > $1 AND ($2::text IS NULL OR reason = $2)
            AND ($3 OR replayed_at IS NULL)
          ORDER BY reject_id LIMIT $4"
    );
    let rows = sqlx::query(&statement)
        .bind(after)
        .bind(filter.reason.as_deref())
        .bind(filter.with_replayed)
        .bind(limit)
        .fetch_all(&mut *store.read().await?)
        .await?;
    Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
}

/// One reject with its bytes.
///
/// # Errors
/// Where Postgres cannot be asked.
pub async fn show(store: &Store, id: i64) -> Result<Option<RejectedRecord>, StoreError> {
    let statement = format!(
        "/* rejects::show */ SELECT {COLUMNS}, record_key, record_value FROM rejects
          WHERE reject_id = $1"
    );
    let row = sqlx::query(&statement).bind(id).fetch_optional(&mut *store.read().await?).await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(RejectedRecord {
        reject: read(&row)?,
        key: row.try_get(11).map_err(StoreError::from)?,
        value: row.try_get(12).map_err(StoreError::from)?,
    }))
}

/// Open rejects by reason.
///
/// # Errors
/// Where Postgres cannot be asked.
pub async fn totals(store: &Store) -> Result<Vec<RejectTotal>, StoreError> {
    let rows = sqlx::query(
        "/* rejects::totals */
         SELECT reason, count(*), min(rejected_at) FROM rejects
          WHERE replayed_at IS NULL GROUP BY reason ORDER BY reason",
    )
    .fetch_all(&mut *store.read().await?)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(RejectTotal {
                reason: row.try_get(0)?,
                records: row.try_get(1)?,
                oldest_at: row.try_get(2)?,
            })
        })
        .collect()
}

/// How many bytes the kept records take on disk, all together.
///
/// # Errors
/// Where Postgres cannot be asked.
pub async fn bytes_on_disk(store: &Store) -> Result<i64, StoreError> {
    let row = sqlx::query("/* rejects::bytes_on_disk */ SELECT pg_table_size('rejects')")
        .fetch_one(&mut *store.read().await?)
        .await?;
    Ok(row.try_get(0)?)
}

/// Tries a kept record once more, by the rules and limits of now, in one transaction that also marks
/// it where it is settled. `value` is the record's value, from [`show`] or from Kafka.
///
/// # Errors
/// Nothing changed; the kind says whether to try again.
pub async fn replay(
    charger: &Charger,
    record: &RejectedRecord,
    value: Option<&[u8]>,
    topic: Topic,
    limits: Limits,
    by: &By,
) -> Result<Replayed, CommitError> {
    let reject = &record.reject;
    let mut connection = charger.store().read().await?;
    let stored = offsets::find(&mut connection, &reject.topic, reject.partition).await?;
    drop(connection);
    let stream: Stream =
        stored.map(|it| it.stream).ok_or(StoreError::Refused(sqlx::Error::RowNotFound))?;
    let event = decode(topic, value.unwrap_or_default(), reject.record_at.unwrap_or(by.at), limits);
    let mut batch = Batch::starting_at(reject.offset);
    batch.push(reject.offset, reject.record_at, event, record.key.as_deref(), value);
    let source = Source::Replay { stream: &stream, reject_ids: &[reject.id], by };
    let committed = charger.commit_batch(source, &batch, by.at, true).await?;
    let outcome = committed.outcomes.first().copied().unwrap_or(Outcome::Rejected);
    Ok(Replayed { outcome, debited: committed.debited() })
}
