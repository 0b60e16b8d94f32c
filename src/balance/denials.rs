//! Calls that were refused, kept for 30 days: every one is counted, some are kept as they came.
//!
//! Written behind; a flood of refusals costs a bounded number of rows, and nothing at all of an
//! authorization's time.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use callmeter_core::domain::{CallSid, Money};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::scripts::Denial;
use crate::clock::Clock;
use crate::ledger::store::{Store, StoreError};

/// Time between two writes.
const WRITE_EVERY: Duration = Duration::from_secs(1);
/// Refusals of one account that are kept as they came, between two writes.
const KEPT_PER_ACCOUNT_MAX: usize = 20;
/// Refusals that are kept as they came, between two writes.
const KEPT_MAX: usize = 5_000;
/// Time between two looks for old ones, unless the last one left some.
const FORGET_EVERY: Duration = Duration::from_mins(1);
/// Days that denials are kept.
const DAYS: i64 = 30;
/// Rows deleted at once. While that many are old, each write is followed by such a deletion: more go
/// than are kept at one write.
const FORGOTTEN_MAX: u32 = 10_000;

/// The denials of this process that are not written yet.
#[derive(Debug)]
pub(super) struct Denials {
    store: Store,
    clock: Clock,
    noted: Mutex<Noted>,
}

#[derive(Debug, Default)]
struct Noted {
    counts: HashMap<(i32, NaiveDate, Denial), i64>,
    kept: Vec<Kept>,
    kept_by_account: HashMap<i32, usize>,
}

#[derive(Debug)]
struct Kept {
    account_key: i32,
    denied_at: DateTime<Utc>,
    call_sid: CallSid,
    reason: Denial,
    shortfall: Money,
}

impl Denials {
    pub(super) fn new(store: Store, clock: Clock) -> Self {
        Self { store, clock, noted: Mutex::default() }
    }

    /// Notes a refusal.
    pub(super) fn note(&self, account_key: i32, sid: &CallSid, reason: Denial, shortfall: Money) {
        let denied_at = self.clock.now();
        let mut noted = self.lock();
        *noted.counts.entry((account_key, denied_at.date_naive(), reason)).or_default() += 1;
        let of_account = noted.kept_by_account.get(&account_key).copied().unwrap_or_default();
        if of_account < KEPT_PER_ACCOUNT_MAX && noted.kept.len() < KEPT_MAX {
            let call_sid = sid.clone();
            noted.kept.push(Kept { account_key, denied_at, call_sid, reason, shortfall });
            noted.kept_by_account.insert(account_key, of_account + 1);
        }
    }

    /// Writes behind, and forgets what is old, until `shutdown`.
    pub(super) async fn run(&self, shutdown: CancellationToken) {
        let mut goes_on = true;
        let mut forget_at = Instant::now();
        while goes_on {
            let slept = shutdown.run_until_cancelled(tokio::time::sleep(WRITE_EVERY)).await;
            goes_on = slept.is_some();
            if let Err(error) = self.write().await {
                tracing::warn!(%error, "denials wait to be written");
            }
            if Instant::now() >= forget_at {
                match self.forget().await {
                    Ok(forgotten) if forgotten >= u64::from(FORGOTTEN_MAX) => {}
                    Ok(_) => forget_at = Instant::now() + FORGET_EVERY,
                    Err(error) => tracing::debug!(%error, "old denials stay"),
                }
            }
        }
    }

    /// Writes what was noted; on an error the counts wait on, and what was kept is dropped.
    async fn write(&self) -> Result<(), StoreError> {
        let noted = std::mem::take(&mut *self.lock());
        if noted.counts.is_empty() {
            return Ok(());
        }
        let counts: Vec<_> = noted.counts.into_iter().collect();
        let written = self.write_rows(&counts, &noted.kept).await;
        if written.is_err() {
            let mut waiting = self.lock();
            for (key, count) in counts {
                *waiting.counts.entry(key).or_default() += count;
            }
        }
        written
    }

    async fn write_rows(
        &self,
        counts: &[((i32, NaiveDate, Denial), i64)],
        kept: &[Kept],
    ) -> Result<(), StoreError> {
        let account_keys: Vec<i32> = counts.iter().map(|((key, _, _), _)| *key).collect();
        let days: Vec<NaiveDate> = counts.iter().map(|((_, day, _), _)| *day).collect();
        let reasons: Vec<&str> = counts.iter().map(|((_, _, reason), _)| reason.as_str()).collect();
        let numbers: Vec<i64> = counts.iter().map(|(_, count)| *count).collect();
        let kept_keys: Vec<i32> = kept.iter().map(|it| it.account_key).collect();
        let denied_at: Vec<DateTime<Utc>> = kept.iter().map(|it| it.denied_at).collect();
        let sids: Vec<&str> = kept.iter().map(|it| it.call_sid.as_str()).collect();
        let kept_reasons: Vec<&str> = kept.iter().map(|it| it.reason.as_str()).collect();
        let shortfalls: Vec<i64> = kept.iter().map(|it| it.shortfall.micros().max(0)).collect();
        // Ordered, so that two processes that write the same rows take their locks alike.
        sqlx::query(
            "-- balance::denials
             WITH kept AS (
                 INSERT INTO denials (account_key, denied_at, call_sid, reason, shortfall_micros)
                 SELECT * FROM unnest($5::integer[], $6::timestamptz[], $7::text[], $8::text[], $9::bigint[]))
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
        .execute(&mut *self.store.read().await?)
        .await?;
        Ok(())
    }

    /// Deletes some that are old; answers how many.
    async fn forget(&self) -> Result<u64, StoreError> {
        let oldest = self.clock.now() - TimeDelta::days(DAYS);
        let forgotten = sqlx::query(
            "-- balance::denials, forget
             WITH counts AS (DELETE FROM denial_counts WHERE day < $1::date)
             DELETE FROM denials WHERE (account_key, denial_id) IN (
                 SELECT account_key, denial_id FROM denials WHERE denied_at < $1
                 ORDER BY denied_at LIMIT $2 FOR UPDATE SKIP LOCKED)",
        )
        .bind(oldest)
        .bind(i64::from(FORGOTTEN_MAX))
        .execute(&mut *self.store.read().await?)
        .await?;
        Ok(forgotten.rows_affected())
    }

    fn lock(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
