//! Denied calls, kept for 30 days: each is counted, some are kept in full. The first of an hour is
//! told as soon as it is written; the job `denials` tells the others.
//!
//! Written behind: a flood of denials costs a bounded number of rows, and no time of an
//! authorization.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use callmeter_core::domain::{CallSid, Money};
use chrono::{DateTime, NaiveDate, Utc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::balance::model::Denial;
use crate::clock::{Clock, beat};
use crate::ledger::denials::{self, Count, Denied};
use crate::ledger::store::{Store, StoreError};

/// Time between two writes.
const WRITE_EVERY: Duration = Duration::from_secs(1);
/// Denials of one account that are kept in full between two writes.
const KEPT_PER_ACCOUNT_MAX: usize = 20;
/// Denials that are kept in full between two writes.
const KEPT_MAX: usize = 5_000;
/// Time between two looks for old ones, unless the last one left some.
const FORGET_EVERY: Duration = Duration::from_mins(1);

/// The denials of this process that are not written yet.
#[derive(Debug)]
pub(crate) struct Denials {
    store: Store,
    clock: Clock,
    noted: Mutex<Noted>,
}

#[derive(Debug, Default)]
struct Noted {
    counts: HashMap<(i32, NaiveDate, &'static str), Count>,
    kept: Vec<Denied>,
    kept_by_account: HashMap<i32, usize>,
}

impl Noted {
    fn add(&mut self, key: (i32, NaiveDate, &'static str), denials: i64, first_at: DateTime<Utc>) {
        let count = self.counts.entry(key).or_insert(Count { denials: 0, first_at });
        count.denials += denials;
        count.first_at = count.first_at.min(first_at);
    }
}

impl Denials {
    pub(crate) fn new(store: Store, clock: Clock) -> Self {
        Self { store, clock, noted: Mutex::default() }
    }

    /// Notes a denial.
    pub(crate) fn note(&self, account_key: i32, sid: &CallSid, reason: Denial, shortfall: Money) {
        let (denied_at, reason) = (self.clock.now(), reason.as_str());
        let mut noted = self.lock();
        noted.add((account_key, denied_at.date_naive(), reason), 1, denied_at);
        let of_account = noted.kept_by_account.get(&account_key).copied().unwrap_or_default();
        if of_account < KEPT_PER_ACCOUNT_MAX && noted.kept.len() < KEPT_MAX {
            let call_sid = sid.clone();
            noted.kept.push(Denied { account_key, denied_at, call_sid, reason, shortfall });
            noted.kept_by_account.insert(account_key, of_account + 1);
        }
    }

    /// Writes behind, and deletes old denials, until `shutdown`.
    pub(crate) async fn run(&self, shutdown: CancellationToken) {
        let mut goes_on = true;
        let mut forget_at = Instant::now();
        while goes_on {
            let slept = shutdown.run_until_cancelled(beat(WRITE_EVERY)).await;
            goes_on = slept.is_some();
            if let Err(error) = self.write().await {
                tracing::warn!(%error, "denials wait to be written");
            }
            if Instant::now() >= forget_at {
                match denials::forget(&self.store, self.clock.now()).await {
                    Ok(left_some) if left_some => {}
                    Ok(_) => forget_at = Instant::now() + FORGET_EVERY,
                    Err(error) => tracing::debug!(%error, "old denials could not be deleted"),
                }
            }
        }
    }

    /// Writes the noted denials; on an error the counts keep waiting, and the full ones are
    /// dropped.
    async fn write(&self) -> Result<(), StoreError> {
        let noted = std::mem::take(&mut *self.lock());
        if noted.counts.is_empty() {
            return Ok(());
        }
        let counts: Vec<_> = noted.counts.into_iter().collect();
        let written = denials::write(&self.store, &counts, &noted.kept).await;
        if written.is_err() {
            let mut waiting = self.lock();
            for (key, count) in counts {
                waiting.add(key, count.denials, count.first_at);
            }
        }
        written?;
        denials::tell(&self.store, self.clock.now()).await.map(|_| ())
    }

    fn lock(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
