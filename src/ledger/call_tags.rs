//! Tags given with authorizations, for charges whose events bring none.
//!
//! No money: the authorization service writes them behind; charging reads them.

use callmeter_core::domain::ids::CallSid;
use chrono::{DateTime, TimeDelta, Utc};
use foldhash::HashMap;
use sqlx::{PgConnection, Row};

use super::store::{Store, StoreError};

/// How long a tag waits for the charge of its call.
const LIFE: TimeDelta = TimeDelta::days(7);

/// Writes tags; of each call only the first is kept.
///
/// # Errors
/// If Postgres is unavailable or refuses the statement.
pub async fn write(
    store: &Store,
    account_keys: &[i32],
    call_sids: &[&str],
    tags: &[&str],
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let statement = || {
        sqlx::query(
            "-- call_tags::write
             INSERT INTO call_tags (account_key, call_sid, tag, noted_at)
             SELECT *, $4 FROM unnest($1::integer[], $2::text[], $3::text[]) AS t (account_key, call_sid, tag)
                 ORDER BY account_key, call_sid
                 ON CONFLICT ON CONSTRAINT call_tags_pk DO NOTHING",
        )
        .bind(account_keys)
        .bind(call_sids)
        .bind(tags)
        .bind(now)
    };
    store.execute("call_tags::write", statement).await?;
    Ok(())
}

/// True if any tag waits. Mostly none does, and a batch skips the look-up.
pub(super) async fn are_there(connection: &mut PgConnection) -> Result<bool, StoreError> {
    let query = "/* call_tags::are_there */ SELECT EXISTS (SELECT FROM call_tags)";
    Ok(sqlx::query_scalar(query).fetch_one(connection).await?)
}

/// The tags of an account's calls that are not charged yet, by call.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn of_calls(
    connection: &mut PgConnection,
    account_key: i32,
    call_sids: &[&str],
) -> Result<HashMap<String, String>, StoreError> {
    let rows: Vec<(String, String)> = sqlx::query_as(
        "-- call_tags::of_calls
         SELECT call_sid, tag FROM call_tags WHERE account_key = $1 AND call_sid = ANY($2)",
    )
    .bind(account_key)
    .bind(call_sids)
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().collect())
}

/// The tags of calls, by account and call.
pub(super) async fn find(
    connection: &mut PgConnection,
    calls: &[(i32, &CallSid)],
) -> Result<HashMap<(i32, Box<str>), Box<str>>, StoreError> {
    let rows = sqlx::query(
        "-- call_tags::of
         SELECT account_key, call_sid, tag FROM unnest($1::integer[], $2::text[])
             AS wanted (account_key, call_sid) JOIN call_tags USING (account_key, call_sid)",
    )
    .bind(calls.iter().map(|(key, _)| *key).collect::<Vec<_>>())
    .bind(calls.iter().map(|(_, sid)| sid.as_str()).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    let tags = rows.into_iter().map(|row| {
        let (sid, tag): (String, String) = (row.try_get(1)?, row.try_get(2)?);
        Ok(((row.try_get(0)?, sid.into()), tag.into()))
    });
    tags.collect()
}

/// Deletes expired tags, at most `most`; returns how many.
///
/// # Errors
/// If Postgres is unavailable or refuses the statement.
pub async fn forget(store: &Store, now: DateTime<Utc>, most: i64) -> Result<u64, StoreError> {
    let statement = || {
        sqlx::query(
            "-- call_tags::forget
             DELETE FROM call_tags WHERE (account_key, call_sid) IN (
                 SELECT account_key, call_sid FROM call_tags WHERE noted_at < $1
                 ORDER BY noted_at LIMIT $2 FOR UPDATE SKIP LOCKED)",
        )
        .bind(now - LIFE)
        .bind(most)
    };
    store.execute("call_tags::forget", statement).await
}
