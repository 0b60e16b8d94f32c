//! Denied calls, for 30 days: every one is counted, some are kept in full. Customers are told of them,
//! at most once an hour for each account and reason.
//!
//! No money: the authorization service writes them behind. What is told of them has no place in the
//! order of an account's events, so it needs no lock of the wallet.

use callmeter_core::domain::{CallSid, EventType, Money};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use super::store::{Store, StoreError};

/// Days that denials are kept.
const DAYS: i64 = 30;
/// Most rows that one statement deletes.
const FORGOTTEN_MAX: u32 = 10_000;
/// Time between two notices of one account and reason.
const TOLD_EVERY: TimeDelta = TimeDelta::hours(1);
/// Most notices of one statement.
const TOLD_MAX: i64 = 1_000;

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

/// How many calls were denied.
#[derive(Clone, Copy, Debug)]
pub struct Count {
    /// The number.
    pub denials: i64,
    /// When the first of them was.
    pub first_at: DateTime<Utc>,
}

/// Adds to the counts by account, day and reason, and to what is to be told; keeps some calls.
/// Auto-refill of an account without funds looks at its balance.
///
/// # Errors
/// If Postgres is unavailable or refuses the statement.
pub async fn write(
    store: &Store,
    counts: &[((i32, NaiveDate, &'static str), Count)],
    kept: &[Denied],
) -> Result<(), StoreError> {
    let account_keys: Vec<i32> = counts.iter().map(|((key, _, _), _)| *key).collect();
    let days: Vec<NaiveDate> = counts.iter().map(|((_, day, _), _)| *day).collect();
    let reasons: Vec<&str> = counts.iter().map(|((_, _, reason), _)| *reason).collect();
    let numbers: Vec<i64> = counts.iter().map(|(_, count)| count.denials).collect();
    let firsts: Vec<DateTime<Utc>> = counts.iter().map(|(_, count)| count.first_at).collect();
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
                         AS n (account_key, reason) WHERE n.reason = 'insufficient_funds')),
             untold AS (
                 INSERT INTO denial_notices AS u (account_key, reason, denials, first_at)
                 SELECT account_key, reason, sum(denials), min(first_at)
                 FROM unnest($1::integer[], $3::text[], $4::bigint[], $11::timestamptz[])
                     AS n (account_key, reason, denials, first_at)
                 GROUP BY account_key, reason ORDER BY account_key, reason
                 ON CONFLICT ON CONSTRAINT denial_notices_pk DO UPDATE
                 SET denials = u.denials + EXCLUDED.denials,
                     first_at = least(u.first_at, EXCLUDED.first_at))
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
        .bind(&firsts)
    };
    store.execute("denials::write", statement).await?;
    Ok(())
}

/// Tells the denials of accounts and reasons that were not told within the last hour: a new one at
/// once, those after it together. True if some may be left.
///
/// # Errors
/// If Postgres is unavailable or refuses the statement.
pub async fn tell(store: &Store, now: DateTime<Utc>) -> Result<bool, StoreError> {
    let statement = || {
        sqlx::query(
            "/* denials::tell */
             WITH due AS (
                 SELECT account_key, reason, denials, first_at FROM denial_notices
                 WHERE denials > 0 AND (told_at IS NULL OR told_at <= $2)
                 ORDER BY account_key, reason LIMIT $4 FOR UPDATE SKIP LOCKED),
             told AS (
                 UPDATE denial_notices AS n SET denials = 0, first_at = NULL, told_at = $1
                 FROM due WHERE n.account_key = due.account_key AND n.reason = due.reason)
             INSERT INTO outbox (account_key, type, at, data)
             SELECT account_key, $3, $1, jsonb_build_object('reason', reason, 'count', denials,
                 'first_at', to_char(first_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'))
             FROM due",
        )
        .bind(now)
        .bind(now - TOLD_EVERY)
        .bind(EventType::AuthorizationDenied.as_str())
        .bind(TOLD_MAX)
    };
    let told = store.execute("denials::tell", statement).await?;
    Ok(i64::try_from(told).is_ok_and(|told| told >= TOLD_MAX))
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
