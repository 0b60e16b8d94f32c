//! Holds that expired unsettled: handed over to whoever looks their calls up at Twilio.
//!
//! The table `expired_holds` belongs to `src/sweep`; here only rows are added, from the journal, while
//! it still has them.

use chrono::{DateTime, Utc};
use sqlx::Row;

use crate::ledger::store::{Store, StoreError};

/// Journal rows that one statement looks through.
const PAGE: i64 = 10_000;

/// Notes in `expired_holds` the holds that expired before `now` and whose calls are not charged: so
/// they are looked up, also once the journal has forgotten them. Answers how many are new.
///
/// # Errors
/// Those of the store; what was noted until then stays.
pub async fn note_expired_holds(store: &Store, now: DateTime<Utc>) -> Result<i64, StoreError> {
    let mut after = (DateTime::<Utc>::UNIX_EPOCH, i32::MIN, String::new());
    let mut noted = 0;
    loop {
        let row = sqlx::query(
            "-- balance::note_expired_holds
             WITH page AS (
                 SELECT account_key, call_sid, hold, expires_at FROM hold_journal
                 WHERE expires_at >= $2 AND expires_at < $1
                   AND (expires_at, account_key, call_sid) > ($2, $3, $4)
                 ORDER BY expires_at, account_key, call_sid LIMIT $5),
             noted AS (
                 INSERT INTO expired_holds (account_key, call_sid, expired_at, next_attempt_at)
                 SELECT p.account_key, p.call_sid, p.expires_at, $1 FROM page AS p
                 WHERE p.hold IS NOT NULL AND NOT EXISTS (
                     SELECT FROM twilio_accounts AS t JOIN call_keys AS k USING (twilio_account_key)
                     WHERE t.account_key = p.account_key AND k.account_key = p.account_key
                       AND k.call_key = call_key_of(p.call_sid))
                 ON CONFLICT ON CONSTRAINT expired_holds_pk DO NOTHING
                 RETURNING 1)
             SELECT (SELECT count(*) FROM page) AS looked, (SELECT count(*) FROM noted) AS noted,
                 last.expires_at, last.account_key, last.call_sid
             FROM (SELECT 1) AS one LEFT JOIN LATERAL (
                 SELECT expires_at, account_key, call_sid FROM page
                 ORDER BY expires_at DESC, account_key DESC, call_sid DESC LIMIT 1) AS last ON true",
        )
        .bind(now)
        .bind(after.0)
        .bind(after.1)
        .bind(&after.2)
        .bind(PAGE)
        .fetch_one(&mut *store.read().await?)
        .await?;
        noted += row.try_get::<i64, _>("noted")?;
        if row.try_get::<i64, _>("looked")? < PAGE {
            return Ok(noted);
        }
        after = (row.try_get("expires_at")?, row.try_get("account_key")?, row.try_get("call_sid")?);
    }
}
