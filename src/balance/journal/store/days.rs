//! The journal's days: a partition for each day on which holds expire, created ahead and dropped
//! whole. Before one is dropped, its expired holds whose calls are not charged go to
//! `expired_holds`.
//!
//! That table belongs to `src/sweep`; this file only adds rows to it.

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use sqlx::Row;

use crate::ledger::store::{Begin, Store, StoreError};

/// A partition is dropped this long after its day: by then its calls have no older row that could
/// count again.
const KEPT: TimeDelta = TimeDelta::days(2);
/// The days ahead that have a partition: no row written now expires later.
const DAYS_AHEAD: i32 = 3;
/// Rows that one statement looks through.
const PAGE: i64 = 10_000;
/// How far back the regular search for expired holds looks; older ones are found before their
/// partition is dropped.
const SEARCHED_BACK: TimeDelta = TimeDelta::hours(6);
const ALL: &str = "hold_changes";
/// Takes rows whose day has no partition.
const DEFAULT: &str = "hold_changes_default";

/// Notes recently expired holds whose calls are not charged in `expired_holds`, so that the sweep
/// looks them up at Twilio. Returns how many are new.
///
/// # Errors
/// If Postgres fails; rows noted until then stay.
pub async fn note_expired_holds(store: &Store, now: DateTime<Utc>) -> Result<i64, StoreError> {
    note_expired(store, ALL, (now - SEARCHED_BACK)..now, now).await
}

/// The same for one partition, and holds that expired in this time.
async fn note_expired(
    store: &Store,
    partition: &str,
    expired: std::ops::Range<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<i64, StoreError> {
    // The partition's name is one of those above, or ends with a date.
    let statement = format!(
        "-- balance::note_expired
         WITH page AS MATERIALIZED (
             SELECT account_key, call_sid, revision, change_id, expires_at FROM {partition}
             WHERE hold IS NOT NULL AND expires_at >= $2 AND expires_at < $6
               AND (expires_at, account_key, call_sid) > ($2, $3, $4)
             ORDER BY expires_at, account_key, call_sid LIMIT $5),
         noted AS (
             INSERT INTO expired_holds (account_key, call_sid, expired_at, next_attempt_at)
             SELECT p.account_key, p.call_sid, p.expires_at, $1 FROM page AS p
             WHERE NOT EXISTS (
                 SELECT FROM hold_changes AS later
                 WHERE later.account_key = p.account_key AND later.call_sid = p.call_sid
                   AND (later.revision, later.change_id) > (p.revision, p.change_id) OFFSET 0)
               AND NOT is_charged(p.account_key, p.call_sid)
             ON CONFLICT ON CONSTRAINT expired_holds_pk DO NOTHING
             RETURNING 1)
         SELECT (SELECT count(*) FROM page) AS looked, (SELECT count(*) FROM noted) AS noted,
             last.expires_at, last.account_key, last.call_sid
         FROM (SELECT 1) AS one LEFT JOIN LATERAL (
             SELECT expires_at, account_key, call_sid FROM page
             ORDER BY expires_at DESC, account_key DESC, call_sid DESC LIMIT 1) AS last ON true"
    );
    let mut after = (expired.start, i32::MIN, String::new());
    let mut noted = 0;
    loop {
        let mut reserved = store.for_transaction().await?;
        let mut transaction = reserved.begin(Begin::Usual).await?;
        let row = sqlx::query(&statement)
            .bind(now)
            .bind(after.0)
            .bind(after.1)
            .bind(&after.2)
            .bind(PAGE)
            .bind(expired.end)
            .fetch_one(&mut *transaction)
            .await?;
        transaction.commit().await?;
        noted += row.try_get::<i64, _>("noted")?;
        if row.try_get::<i64, _>("looked")? < PAGE {
            return Ok(noted);
        }
        after = (row.try_get("expires_at")?, row.try_get("account_key")?, row.try_get("call_sid")?);
    }
}

/// Creates the partitions of the next days, and drops those of past days.
pub(crate) async fn keep(store: &Store, now: DateTime<Utc>) -> Result<(), StoreError> {
    let ahead = || {
        sqlx::query(
            "-- balance::partitions, ahead
             SELECT ensure_hold_changes_partition($1::timestamptz + n * interval '1 day')
             FROM generate_series(0, $2) AS n",
        )
        .bind(now)
        .bind(DAYS_AHEAD)
    };
    store.execute("balance::partitions", ahead).await?;
    let names: Vec<String> = sqlx::query_scalar(
        "-- balance::partitions
         SELECT c.relname::text FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
         WHERE i.inhparent = 'hold_changes'::regclass ORDER BY 1",
    )
    .fetch_all(&mut *store.read().await?)
    .await?;
    let oldest = now - KEPT;
    for name in names {
        let Some(day) = day_of(&name) else { continue };
        let next = day + TimeDelta::days(1);
        if next <= oldest {
            note_expired(store, &name, day..next, now).await?;
            drop_partition(store, &name).await?;
        }
    }
    note_expired(store, DEFAULT, DateTime::UNIX_EPOCH..oldest, now).await?;
    let forget = "/* balance::partitions */ DELETE FROM hold_changes_default WHERE expires_at < $1";
    store.execute("balance::partitions", || sqlx::query(forget).bind(oldest)).await?;
    Ok(())
}

/// The beginning of the day with which a partition's name ends.
fn day_of(name: &str) -> Option<DateTime<Utc>> {
    let digits = name.strip_prefix("hold_changes_")?;
    Some(NaiveDate::parse_from_str(digits, "%Y%m%d").ok()?.and_time(NaiveTime::MIN).and_utc())
}

/// Drops a partition; if somebody uses it now, a later look drops it.
async fn drop_partition(store: &Store, name: &str) -> Result<(), StoreError> {
    let mut reserved = store.for_transaction().await?;
    let mut transaction = reserved.begin(Begin::Usual).await?;
    sqlx::query("/* balance::drop_partition */ SET LOCAL lock_timeout = '200ms'")
        .execute(&mut *transaction)
        .await?;
    sqlx::query(&format!("/* balance::drop_partition */ DROP TABLE IF EXISTS {name}"))
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_partition_of_a_day_is_ever_dropped() {
        let day = day_of("hold_changes_20261128").map(|day| day.to_rfc3339());
        assert_eq!(day.as_deref(), Some("2026-11-28T00:00:00+00:00"));
        for other in [DEFAULT, ALL, "hold_changes_20261301", "charges_20261128"] {
            assert_eq!(day_of(other), None, "{other}");
        }
    }
}
