//! Answers kept for requests that carry an Idempotency-Key, in the transaction of their effect.
//!
//! Two requests with one key at once: both run, the second to commit finds the first's key in its
//! way, runs again and finds the first's answer.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{PgConnection, Row};

use super::store::StoreError;

/// How long an answer is kept.
pub const KEPT_FOR: TimeDelta = TimeDelta::hours(24);

/// One request, as its sender names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestName {
    /// Who sends it.
    pub credential: String,
    /// Where to.
    pub path: String,
    /// Its Idempotency-Key.
    pub key: String,
    /// What it asks for.
    pub body_sha256: [u8; 32],
}

/// An answer that was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Body, as it was sent.
    pub body: String,
}

/// What was answered before to a request of this name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Earlier {
    /// Nothing: it is new, or its answer is too old to count.
    Nothing,
    /// This, to the same body.
    Answered(Answer),
    /// Something, to another body.
    OtherBody,
}

/// Looks for an earlier answer.
///
/// # Errors
/// If Postgres is unavailable or refuses the statement.
pub async fn earlier(
    connection: &mut PgConnection,
    name: &RequestName,
    now: DateTime<Utc>,
) -> Result<Earlier, StoreError> {
    sqlx::query(
        "-- idempotency::earlier, forget what is too old
         DELETE FROM idempotency_keys
         WHERE credential = $1 AND path = $2 AND key = $3 AND created_at <= $4",
    )
    .bind(&name.credential)
    .bind(&name.path)
    .bind(&name.key)
    .bind(now - KEPT_FOR)
    .execute(&mut *connection)
    .await?;
    let row = sqlx::query(
        "-- idempotency::earlier
         SELECT body_sha256, status, response FROM idempotency_keys
         WHERE credential = $1 AND path = $2 AND key = $3",
    )
    .bind(&name.credential)
    .bind(&name.path)
    .bind(&name.key)
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else { return Ok(Earlier::Nothing) };
    let body_sha256: &[u8] = row.try_get("body_sha256")?;
    if body_sha256 != name.body_sha256 {
        return Ok(Earlier::OtherBody);
    }
    let status: i16 = row.try_get("status")?;
    Ok(Earlier::Answered(Answer { status: status.unsigned_abs(), body: row.try_get("response")? }))
}

/// Keeps an answer.
///
/// # Errors
/// `Conflict` where a request of the same name was answered meanwhile: run the transaction again.
pub async fn keep(
    connection: &mut PgConnection,
    name: &RequestName,
    answer: &Answer,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    sqlx::query(
        "-- idempotency::keep
         INSERT INTO idempotency_keys
             (credential, path, key, body_sha256, status, response, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(&name.credential)
    .bind(&name.path)
    .bind(&name.key)
    .bind(name.body_sha256.as_slice())
    .bind(answer.status.cast_signed())
    .bind(&answer.body)
    .bind(now)
    .execute(connection)
    .await?;
    Ok(())
}

/// Forgets answers that are too old, `limit` at most; answers how many.
///
/// # Errors
/// If Postgres is unavailable or refuses the statement.
pub async fn purge(
    connection: &mut PgConnection,
    limit: i64,
    now: DateTime<Utc>,
) -> Result<u64, StoreError> {
    let purged = sqlx::query(
        "-- idempotency::purge
         DELETE FROM idempotency_keys WHERE (credential, path, key) IN (
             SELECT credential, path, key FROM idempotency_keys
             WHERE created_at <= $1 ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED)",
    )
    .bind(now - KEPT_FOR)
    .bind(limit)
    .execute(connection)
    .await?;
    Ok(purged.rows_affected())
}
