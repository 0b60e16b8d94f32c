//! Denied calls, for 30 days: every one is counted, some are kept in full.
//!
//! No money: the authorization service writes them behind.

use callmeter_core::domain::{CallSid, Money};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use super::store::{Store, StoreError};

/// Days that denials are kept.
const DAYS: i64 = 30;
/// Most rows that one statement deletes.
const FORGOTTEN_MAX: u32 = 10_000;

/// A denied call.
#[derive(Debug)]
pub struct Denied {
    /// Its account.
    pub account_key: i32,
    /// When it was denied.
    pub denied_at: DateTime<Utc>,
    /// The call.
    pub call_sid: CallSid,
    /// The reason.
    pub reason: &'static str,
    /// The missing money.
    pub shortfall: Money,
}

/// Adds to the counts by account, day and reason, and keeps some calls. Auto-refill of an account
/// without funds looks at its balance.
///
/// # Errors
/// If Postgres is unavailable or refuses the statement.
pub async fn write(
    store: &Store,
    counts: &[((i32, NaiveDate, &'static str), i64)],
    kept: &[Denied],
) -> Result<(), StoreError> {
    let account_keys: Vec<i32> = counts.iter().map(|((key, _, _), _)| *key).collect();
    let days: Vec<NaiveDate> = counts.iter().map(|((_, day, _), _)| *day).collect();
    let reasons: Vec<&str> = counts.iter().map(|((_, _, reason), _)| *reason).collect();
    let numbers: Vec<i64> = counts.iter().map(|(_, count)| *count).collect();
    let kept_keys: Vec<i32> = kept.iter().map(|it| it.account_key).collect();
    let denied_at: Vec<DateTime<Utc>> = kept.iter().map(|it| it.denied_at).collect();
    let sids: Vec<&str> = kept.iter().map(|it| it.call_sid.as_str()).collect();
    let kept_reasons: Vec<&str> = kept.iter().map(|it| it.reason).collect();
    let shortfalls: Vec<i64> = kept.iter().map(|it| it.shortfall.micros().max(0)).collect();
    let newest = kept.iter().map(|it| it.denied_at).max();
    // Ordered, so that two processes that write the same rows take their locks alike.
    let statement = || {
        sqlx::query(
            "-- denials::write
             WITH kept AS (
                 INSERT INTO denials (account_key, denied_at, call_sid, reason, shortfall_micros)
                 SELECT * FROM unnest($5::integer[], $6::timestamptz[], $7::text[], $8::text[], $9::bigint[])),
             looked AS (
                 UPDATE auto_refills SET look_at = $10
                 WHERE is_enabled AND look_at IS NULL AND account_key IN (
                     SELECT n.account_key FROM unnest($1::integer[], $3::text[])
                         AS n (account_key, reason) WHERE n.reason = 'insufficient_funds'))
             INSERT INTO denial_counts AS c (account_key, day, reason, denials)
             SELECT * FROM unnest($1::integer[], $2::date[], $3::text[], $4::bigint[])
                 AS n (account_key, day, reason, denials) ORDER BY account_key, day, reason
             ON CONFLICT (account_key, day, reason) DO UPDATE SET denials = c.denials + EXCLUDED.denials",
        )
        .bind(&account_keys)
        .bind(&days)
        .bind(&reasons)
        .bind(&numbers)
        .bind(&kept_keys)
        .bind(&denied_at)
        .bind(&sids)
        .bind(&kept_reasons)
        .bind(&shortfalls)
        .bind(newest)
    };
    store.execute("denials::write", statement).await?;
    Ok(())
}

/// Deletes expired rows, a limited number at a time. True if some may be left.
///
/// # Errors
/// If Postgres is unavailable or refuses the statement.
pub async fn forget(store: &Store, now: DateTime<Utc>) -> Result<bool, StoreError> {
    let statement = || {
        sqlx::query(
            "-- denials::forget
             WITH counts AS (DELETE FROM denial_counts WHERE day < $1::date)
             DELETE FROM denials WHERE (account_key, denial_id) IN (
                 SELECT account_key, denial_id FROM denials WHERE denied_at < $1
                 ORDER BY denied_at LIMIT $2 FOR UPDATE SKIP LOCKED)",
        )
        .bind(now - TimeDelta::days(DAYS))
        .bind(i64::from(FORGOTTEN_MAX))
    };
    let forgotten = store.execute("denials::forget", statement).await?;
    Ok(forgotten >= u64::from(FORGOTTEN_MAX))
}
