//! Stored answers to requests with an Idempotency-Key, in the transaction of their effect.
//!
//! If two requests with the same key run at once, the second to commit conflicts with the first's
//! row, runs again, and finds the first's answer.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{PgConnection, Row};

use super::store::{Store, StoreError};

/// How long an answer is kept.
pub const KEPT_FOR: TimeDelta = TimeDelta::hours(24);

/// Identifies a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestName {
    /// Its credential.
    pub credential: String,
    /// Its path.
    pub path: String,
    /// Its Idempotency-Key.
    pub key: String,
    /// SHA-256 of its body.
    pub body_sha256: [u8; 32],
}

/// A given answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Body, as sent.
    pub body: String,
}

/// What an earlier request of the same name got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Earlier {
    /// There is none, or its answer has expired.
    Nothing,
    /// The stored answer; the body is the same.
    Answered(Answer),
    /// An answer to another body.
    OtherBody,
}

/// Looks up an earlier answer.
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

/// Stores an answer.
///
/// # Errors
/// `Conflict` if a request of the same name was answered meanwhile: run the transaction again.
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

/// Deletes expired answers, at most `limit`; returns how many.
///
/// # Errors
/// Those of the store.
pub async fn purge(store: &Store, limit: i64, now: DateTime<Utc>) -> Result<u64, StoreError> {
    let statement = || {
        sqlx::query(
            "-- idempotency::purge
             DELETE FROM idempotency_keys WHERE (credential, path, key) IN (
                 SELECT credential, path, key FROM idempotency_keys
                 WHERE created_at <= $1 ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED)",
        )
        .bind(now - KEPT_FOR)
        .bind(limit)
    };
    store.execute("idempotency::purge", statement).await
}
