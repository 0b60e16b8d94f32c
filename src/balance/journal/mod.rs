//! The hold journal: the grants of Redis, written behind to Postgres.
//!
//! A grant is answered before it is journaled: an authorization never waits for Postgres. One COPY
//! writes all grants of some 3 ms. While Postgres is away, a limited number of holds and voids
//! waits here; beyond it, nothing is granted or voided.

mod accounts;
pub(crate) mod change;
pub(crate) mod days;
pub(crate) mod denials;
mod pending;
pub(crate) mod store;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use callmeter_core::domain::{AccountId, CallSid};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::balance::model::{Hold, HoldSettings};
use crate::clock::Clock;
use crate::ledger::call_tags;
use crate::ledger::store::{Store, StoreError};
use crate::metrics::HOLD_JOURNAL_LAG_SECONDS;
use accounts::AccountKeys;
use change::{CallChange, Change};
use pending::{Asked, Pending};

/// Time for which changes are gathered before they are written.
const GATHER: Duration = Duration::from_millis(3);
/// A change that was requested longer ago may have missed a load; Redis is checked for it.
const LATE: Duration = Duration::from_millis(50);
/// While Postgres is quick, other processes have journaled their grants after this time.
const LAG_MAX: Duration = Duration::from_millis(60);
/// Longest wait for the journal before a load gives up.
const FLUSH_MAX: Duration = Duration::from_secs(1);
/// Longest wait for other processes if Postgres is slow.
const OTHERS_MAX: Duration = Duration::from_millis(500);
/// Time between two reports of the oldest waiting change's age.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// Wait after a failed write.
const RETRY: Duration = Duration::from_millis(200);
/// Most rows of one statement.
const ROWS_MAX: usize = 2_000;

/// The journal of this process; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Journal(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    clock: Clock,
    account_max: usize,
    total_max: usize,
    pending: Mutex<Pending>,
    wake: Notify,
    /// Number of the last change up to which all are written.
    written: watch::Sender<u64>,
}

impl Journal {
    pub(crate) fn new(store: Store, clock: Clock, settings: &HoldSettings) -> Self {
        Self(Arc::new(Inner {
            store,
            clock,
            account_max: settings.unjournaled_account_max,
            total_max: settings.unjournaled_max,
            pending: Mutex::default(),
            wake: Notify::new(),
            written: watch::Sender::new(0),
        }))
    }

    /// Whether another hold of the account may be granted before the waiting ones are written.
    pub(crate) fn has_permit(&self, account: &AccountId) -> bool {
        let pending = self.lock();
        pending.all() < self.0.total_max && pending.of_account(account) < self.0.account_max
    }

    /// Notes a hold that was granted to a request of the time `at`. A repeated answer is noted only
    /// if this process does not know it: the process that granted it may have died since.
    pub(crate) fn placed(
        &self,
        account: &AccountId,
        call_sid: &CallSid,
        hold: Hold,
        is_new: bool,
        at: Instant,
    ) {
        let key = (account.clone(), call_sid.clone());
        let mut pending = self.lock();
        if is_new || !pending.is_known(&key, hold.revision) {
            pending.put(key, Asked { change: Change::Held(hold), at });
            self.0.wake.notify_one();
        }
    }

    /// Notes the tag of a call whose hold was noted just before.
    pub(crate) fn tagged(&self, account_key: i32, call_sid: &CallSid, tag: &str) {
        let key = (account_key, call_sid.clone());
        self.lock().tags.entry(key).or_insert_with(|| tag.into());
        self.0.wake.notify_one();
    }

    /// Notes a void that was requested at `at`; false: too much waits already.
    #[must_use]
    pub(crate) fn voided(
        &self,
        account: &AccountId,
        call_sid: &CallSid,
        revision: i64,
        at: Instant,
    ) -> bool {
        let key = (account.clone(), call_sid.clone());
        let mut pending = self.lock();
        // Voids may wait beside as many holds.
        let has_permit = pending.all() < self.0.total_max.saturating_mul(2);
        if has_permit || pending.changes.contains_key(&key) {
            pending.put(key, Asked { change: Change::Voided { revision }, at });
            self.0.wake.notify_one();
            return true;
        }
        false
    }

    /// Hands over a journaled change that may be missing in Redis.
    pub(crate) fn look_after(&self, change: CallChange) {
        self.lock().look_after([change]);
        self.0.wake.notify_one();
    }

    /// Waits until every change noted so far is written; false: it takes too long.
    pub(crate) async fn flush(&self) -> bool {
        let last = self.lock().last;
        let mut written = self.0.written.subscribe();
        let all = written.wait_for(|written| *written >= last);
        tokio::time::timeout(FLUSH_MAX, all).await.is_ok_and(|written| written.is_ok())
    }

    /// Waits until all earlier grants are journaled: certainly those of this process, and those of
    /// others as far as the journal's pace shows. False: the journal cannot be written now, and
    /// nothing may be granted from it.
    pub(crate) async fn catch_up(&self) -> bool {
        let began = Instant::now();
        let probe = tokio::time::timeout(FLUSH_MAX, store::probe(&self.0.store));
        let (is_flushed, probed) = tokio::join!(self.flush(), probe);
        if !is_flushed || !matches!(probed, Ok(Ok(()))) {
            return false;
        }
        let took = began.elapsed();
        // If it was slow for us, it is for others, who may have begun later: wait twice as long.
        let others =
            LAG_MAX.checked_sub(took).unwrap_or_else(|| took.saturating_mul(2).min(OTHERS_MAX));
        tokio::time::sleep(others).await;
        true
    }

    /// Writes behind until `shutdown`, then writes the rest. Sends the changes that Redis may be
    /// missing to `late`; while that is full they wait here.
    pub(crate) async fn run(
        &self,
        shutdown: CancellationToken,
        late: mpsc::Sender<Vec<CallChange>>,
    ) {
        self.tell_lag();
        let mut keys = AccountKeys::default();
        while !shutdown.is_cancelled() {
            let woken = shutdown.run_until_cancelled(self.0.wake.notified());
            // While nothing waits there is no lag to report, and every change wakes this loop.
            let waits = if self.lock().is_empty() { Duration::MAX } else { TELL_EVERY };
            let _ = tokio::time::timeout(waits, woken).await;
            tokio::time::sleep(GATHER).await;
            if let Err(error) = self.write_pending(&mut keys).await {
                tracing::warn!(%error, "holds wait to be journaled");
                let _ = shutdown.run_until_cancelled(tokio::time::sleep(RETRY)).await;
                self.0.wake.notify_one();
            }
            self.tell_lag();
            if self.lock().has_late()
                && let Ok(place) = late.try_reserve()
            {
                place.send(self.lock().take_late());
            }
        }
        if let Err(error) = self.write_pending(&mut keys).await {
            let holds = self.lock().changes.len();
            tracing::error!(%error, holds, "holds are not journaled");
        }
        let left = self.lock().take_late();
        if !left.is_empty() {
            // Fails only if the loop that repairs has ended already.
            let _ = late.send(left).await;
        }
    }

    /// Writes all that waits; on an error, the unwritten changes keep waiting.
    async fn write_pending(&self, keys: &mut AccountKeys) -> Result<(), StoreError> {
        self.write_tags().await?;
        let (changes, last) = self.lock().take();
        let mut changes: Vec<_> = changes
            .into_iter()
            .map(|((account, call_sid), Asked { change, at })| {
                (CallChange { account, call_sid, change }, at)
            })
            .collect();
        for (index, chunk) in changes.chunks(ROWS_MAX).enumerate() {
            let now = self.0.clock.now();
            let rows = chunk.iter().map(|(change, _)| change);
            if let Err(error) = store::append(&self.0.store, keys, rows, now).await {
                let mut pending = self.lock();
                pending.landed();
                for (CallChange { account, call_sid, change }, at) in
                    changes.into_iter().skip(index * ROWS_MAX)
                {
                    pending.put_back((account, call_sid), Asked { change, at });
                }
                return Err(error);
            }
        }
        changes.retain(|(it, at)| at.elapsed() > LATE || it.change.is_granted_by_postgres());
        let mut pending = self.lock();
        pending.landed();
        pending.look_after(changes.into_iter().map(|(change, _)| change));
        drop(pending);
        self.0.written.send_if_modified(|written| std::mem::replace(written, last) != last);
        Ok(())
    }

    /// Writes the waiting tags; on an error they keep waiting.
    async fn write_tags(&self) -> Result<(), StoreError> {
        let tags = std::mem::take(&mut self.lock().tags);
        if tags.is_empty() {
            return Ok(());
        }
        let keys: Vec<i32> = tags.keys().map(|(key, _)| *key).collect();
        let sids: Vec<&str> = tags.keys().map(|(_, sid)| sid.as_str()).collect();
        let words: Vec<&str> = tags.values().map(|tag| &**tag).collect();
        let written = call_tags::write(&self.0.store, &keys, &sids, &words, self.0.clock.now());
        if let Err(error) = written.await {
            self.lock().tags.extend(tags);
            return Err(error);
        }
        Ok(())
    }

    fn tell_lag(&self) {
        let lag = self.lock().oldest().map_or(Duration::ZERO, |since| since.elapsed());
        metrics::gauge!(HOLD_JOURNAL_LAG_SECONDS).set(lag.as_secs_f64());
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.0.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
