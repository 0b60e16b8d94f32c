//! The journal's statements. Rows are written in one order, so that processes that write the same rows
//! wait for each other in a line and never in a ring.

use callmeter_core::domain::{AccountId, CallSid};
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{Executor as _, PgConnection};

use super::waiting::Change;
use crate::balance::hold::Hold;
use crate::ledger::store::{Store, StoreError};

/// How long a void is remembered.
const VOID_LIFE: TimeDelta = TimeDelta::days(1);

/// Writes changes, the later of two of one call; answers how many rows are new. A hold that was granted
/// without Redis takes no row that another hold or a void has.
pub(in crate::balance) async fn write(
    connection: &mut PgConnection,
    changes: &[((AccountId, CallSid), Change)],
    now: DateTime<Utc>,
) -> Result<u64, StoreError> {
    let accounts: Vec<&str> = changes.iter().map(|((account, _), _)| account.as_str()).collect();
    let sids: Vec<&str> = changes.iter().map(|((_, sid), _)| sid.as_str()).collect();
    let revisions: Vec<i64> = changes.iter().map(|(_, change)| change.revision).collect();
    let holds: Vec<Option<String>> =
        changes.iter().map(|(_, change)| change.hold.as_ref().map(Hold::pack)).collect();
    let expiries: Vec<DateTime<Utc>> = changes
        .iter()
        .map(|(_, change)| change.hold.as_ref().map_or(now + VOID_LIFE, |hold| hold.expires_at))
        .collect();
    let written = sqlx::query(
        "-- balance::journal
         INSERT INTO hold_journal AS j (account_key, call_sid, revision, hold, expires_at, journaled_at)
         SELECT a.account_key, n.call_sid, n.revision, n.hold, n.expires_at, $6
         FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::timestamptz[])
             AS n (id, call_sid, revision, hold, expires_at) JOIN accounts AS a ON a.id = n.id
         ORDER BY a.account_key, n.call_sid
         ON CONFLICT (account_key, call_sid) DO UPDATE
         SET revision = EXCLUDED.revision, hold = EXCLUDED.hold, expires_at = EXCLUDED.expires_at,
             journaled_at = EXCLUDED.journaled_at
         WHERE j.revision < EXCLUDED.revision AND (
             j.expires_at <= EXCLUDED.journaled_at OR EXCLUDED.hold IS NULL
             OR split_part(EXCLUDED.hold, ' ', 16) <> 'fail_open')",
    )
    .bind(&accounts)
    .bind(&sids)
    .bind(&revisions)
    .bind(&holds)
    .bind(&expiries)
    .bind(now)
    .execute(connection)
    .await?;
    Ok(written.rows_affected())
}

/// Waits until the journal can be written, for as long as Postgres lets others wait for it at most.
pub(super) async fn probe(store: &Store) -> Result<(), StoreError> {
    let mut connection = store.read().await?;
    let statements = "-- balance::probe
         SET LOCAL lock_timeout = '1s';
         LOCK TABLE hold_journal IN ROW EXCLUSIVE MODE";
    connection.execute(statements).await?;
    Ok(())
}

/// Deletes rows that expired an hour ago, so many at a time; answers how many. Holds among them
/// whose calls are not charged go to `expired_holds` in the same step.
pub(super) async fn forget_expired(
    store: &Store,
    most: i64,
    now: DateTime<Utc>,
) -> Result<u64, StoreError> {
    let deleted: i64 = sqlx::query_scalar(
        "-- balance::journal, forget
         WITH forgotten AS (
             DELETE FROM hold_journal WHERE (account_key, call_sid) IN (
                 SELECT account_key, call_sid FROM hold_journal WHERE expires_at < $1
                 ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED)
             RETURNING account_key, call_sid, hold, expires_at),
         noted AS (
             INSERT INTO expired_holds (account_key, call_sid, expired_at, next_attempt_at)
             SELECT f.account_key, f.call_sid, f.expires_at, $3 FROM forgotten AS f
             WHERE f.hold IS NOT NULL AND NOT EXISTS (
                 SELECT FROM twilio_accounts AS t JOIN call_keys AS k USING (twilio_account_key)
                 WHERE t.account_key = f.account_key AND k.account_key = f.account_key
                   AND k.call_key = call_key_of(f.call_sid))
             ON CONFLICT ON CONSTRAINT expired_holds_pk DO NOTHING)
         SELECT count(*) FROM forgotten",
    )
    .bind(now - TimeDelta::hours(1))
    .bind(most)
    .bind(now)
    .fetch_one(&mut *store.read().await?)
    .await?;
    Ok(u64::try_from(deleted).unwrap_or_default())
}
