//! The hold journal: what Redis granted, written behind to Postgres.
//!
//! A grant is answered before it is journaled: Postgres is no part of an authorization. Within some
//! 20 ms all that was granted is written in one statement. While Postgres is away, holds wait here, so
//! many and no more: then nothing further is granted.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use callmeter_core::domain::{AccountId, CallSid};
use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::hold::Hold;
use super::settings::HoldSettings;
use crate::clock::Clock;
use crate::ledger::call_tags;
use crate::ledger::store::{Store, StoreError};
use crate::metrics::HOLD_JOURNAL_LAG_SECONDS;

/// Changes are gathered for so long before they are written.
const GATHER: Duration = Duration::from_millis(20);
/// A change that was asked for longer ago may have been missed by a load, and is looked after.
const LATE: Duration = Duration::from_millis(50);
/// Wait after a failed write.
const RETRY: Duration = Duration::from_millis(200);
/// How long a void is remembered.
const VOID_LIFE: TimeDelta = TimeDelta::days(1);
/// Most rows of one statement.
const ROWS_MAX: usize = 2_000;

/// A change that was journaled late: a load in between may not have seen it.
#[derive(Clone, Debug)]
pub(super) struct LateChange {
    pub account: AccountId,
    pub call_sid: CallSid,
    /// `None`: voided.
    pub hold: Option<Hold>,
}

/// The journal of this process; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Journal(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    clock: Clock,
    account_max: usize,
    total_max: usize,
    waiting: Mutex<Waiting>,
    wake: Notify,
    /// Number of the last change that is written with all before it.
    written: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Waiting {
    changes: HashMap<(i32, CallSid), Change>,
    /// Tags of calls whose changes wait.
    tags: HashMap<(i32, CallSid), Box<str>>,
    by_account: HashMap<i32, usize>,
    /// By account, how many changes are being written: they count until they are.
    in_flight: HashMap<i32, usize>,
    /// Since when the oldest of those waits.
    in_flight_since: Option<Instant>,
    /// Number of the last change.
    last: u64,
    /// Since when the oldest change waits.
    since: Option<Instant>,
}

#[derive(Clone, Debug)]
struct Change {
    account: AccountId,
    revision: i64,
    /// `None`: voided.
    hold: Option<Hold>,
    /// When Redis was asked for it.
    asked_at: Instant,
}

impl Journal {
    pub(super) fn new(store: Store, clock: Clock, settings: &HoldSettings) -> Self {
        Self(Arc::new(Inner {
            store,
            clock,
            account_max: settings.unjournaled_account_max,
            total_max: settings.unjournaled_max,
            waiting: Mutex::default(),
            wake: Notify::new(),
            written: watch::Sender::new(0),
        }))
    }

    /// Whether another hold of the account may be granted before those that wait are written.
    pub(super) fn has_room(&self, account_key: i32) -> bool {
        let waiting = self.lock();
        waiting.all() < self.0.total_max && waiting.of_account(account_key) < self.0.account_max
    }

    /// Notes a hold as it was granted to who asked at `asked_at`.
    pub(super) fn placed(
        &self,
        account: &AccountId,
        account_key: i32,
        call_sid: &CallSid,
        hold: &Hold,
        asked_at: Instant,
    ) {
        let (revision, hold) = (hold.revision, Some(hold.clone()));
        let change = Change { account: account.clone(), revision, hold, asked_at };
        self.lock().put((account_key, call_sid.clone()), change);
        self.0.wake.notify_one();
    }

    /// Notes the tag of a call whose hold was noted just before.
    pub(super) fn tagged(&self, account_key: i32, call_sid: &CallSid, tag: &str) {
        let key = (account_key, call_sid.clone());
        self.lock().tags.entry(key).or_insert_with(|| tag.into());
    }

    /// Notes that a call's hold is no more, by a void that was asked for at `asked_at`.
    pub(super) fn voided(
        &self,
        account: &AccountId,
        account_key: i32,
        call_sid: &CallSid,
        revision: i64,
        asked_at: Instant,
    ) {
        let account = account.clone();
        let change = Change { account, revision, hold: None, asked_at };
        self.lock().put((account_key, call_sid.clone()), change);
        self.0.wake.notify_one();
    }

    /// Waits until everything noted so far is written, or for a second; whether it is.
    pub(super) async fn flush(&self) -> bool {
        let last = self.lock().last;
        let mut written = self.0.written.subscribe();
        let all = written.wait_for(|written| *written >= last);
        matches!(tokio::time::timeout(Duration::from_secs(1), all).await, Ok(Ok(_)))
    }

    /// Writes behind until `shutdown`, then what is left; `late` is given the changes that a load may
    /// have missed. While it takes none they wait here.
    pub(super) async fn run(
        &self,
        shutdown: CancellationToken,
        late: mpsc::Sender<Vec<LateChange>>,
    ) {
        let mut changed_late = Vec::new();
        while !shutdown.is_cancelled() {
            let woken = shutdown.run_until_cancelled(self.0.wake.notified());
            // Looked at now and then without being woken, so that the lag is told.
            let _ = tokio::time::timeout(Duration::from_secs(1), woken).await;
            tokio::time::sleep(GATHER).await;
            match self.write_waiting().await {
                Ok(more) => changed_late.extend(more),
                Err(error) => {
                    tracing::warn!(%error, "holds wait to be journaled");
                    let _ = shutdown.run_until_cancelled(tokio::time::sleep(RETRY)).await;
                    self.0.wake.notify_one();
                }
            }
            self.tell_lag();
            if !changed_late.is_empty()
                && let Ok(place) = late.try_reserve()
            {
                place.send(std::mem::take(&mut changed_late));
            }
        }
        match self.write_waiting().await {
            Ok(more) => changed_late.extend(more),
            Err(error) => {
                let holds = self.lock().changes.len();
                tracing::error!(%error, holds, "holds are not journaled");
            }
        }
        if !changed_late.is_empty() {
            // Refused only where whoever restores has ended already.
            let _ = late.send(changed_late).await;
        }
    }

    /// Writes all that waits; on an error what is not written waits on.
    async fn write_waiting(&self) -> Result<Vec<LateChange>, StoreError> {
        self.write_tags().await?;
        let (changes, last) = self.lock().take();
        let changes: Vec<_> = changes.into_iter().collect();
        for (index, chunk) in changes.chunks(ROWS_MAX).enumerate() {
            if let Err(error) = self.write(chunk).await {
                let mut waiting = self.lock();
                waiting.landed();
                for (key, change) in changes.into_iter().skip(index * ROWS_MAX) {
                    waiting.put_back(key, change);
                }
                return Err(error);
            }
        }
        self.lock().landed();
        self.0.written.send_if_modified(|written| std::mem::replace(written, last) != last);
        let late = changes.into_iter().filter(|(_, change)| change.asked_at.elapsed() > LATE);
        let late = late.map(|((_, call_sid), Change { account, hold, .. })| LateChange {
            account,
            call_sid,
            hold,
        });
        Ok(late.collect())
    }

    /// Writes the tags that wait; on an error they wait on.
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
            let mut waiting = self.lock();
            for (key, tag) in tags {
                waiting.tags.insert(key, tag);
            }
            return Err(error);
        }
        Ok(())
    }

    async fn write(&self, changes: &[((i32, CallSid), Change)]) -> Result<(), StoreError> {
        let now = self.0.clock.now();
        let account_keys: Vec<i32> = changes.iter().map(|((key, _), _)| *key).collect();
        let sids: Vec<&str> = changes.iter().map(|((_, sid), _)| sid.as_str()).collect();
        let revisions: Vec<i64> = changes.iter().map(|(_, change)| change.revision).collect();
        let holds: Vec<Option<String>> =
            changes.iter().map(|(_, change)| change.hold.as_ref().map(Hold::pack)).collect();
        let expiries: Vec<DateTime<Utc>> = changes
            .iter()
            .map(|(_, change)| change.hold.as_ref().map_or(now + VOID_LIFE, |hold| hold.expires_at))
            .collect();
        sqlx::query(
            "-- balance::journal
             INSERT INTO hold_journal AS j (account_key, call_sid, revision, hold, expires_at, journaled_at)
             SELECT *, $6 FROM unnest($1::integer[], $2::text[], $3::bigint[], $4::text[], $5::timestamptz[])
             ON CONFLICT (account_key, call_sid) DO UPDATE
             SET revision = EXCLUDED.revision, hold = EXCLUDED.hold, expires_at = EXCLUDED.expires_at,
                 journaled_at = EXCLUDED.journaled_at
             WHERE j.revision < EXCLUDED.revision",
        )
        .bind(&account_keys)
        .bind(&sids)
        .bind(&revisions)
        .bind(&holds)
        .bind(&expiries)
        .bind(now)
        .execute(&mut *self.0.store.read().await?)
        .await?;
        Ok(())
    }

    /// Deletes rows that expired an hour ago, so many at a time; answers how many. Holds among them
    /// whose calls are not charged go to `expired_holds` in the same step.
    pub(super) async fn forget_expired(&self, most: i64) -> Result<u64, StoreError> {
        let now = self.0.clock.now();
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
        .fetch_one(&mut *self.0.store.read().await?)
        .await?;
        Ok(u64::try_from(deleted).unwrap_or_default())
    }

    fn tell_lag(&self) {
        let lag = self.lock().oldest().map_or(Duration::ZERO, |since| since.elapsed());
        metrics::gauge!(HOLD_JOURNAL_LAG_SECONDS).set(lag.as_secs_f64());
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn put(&mut self, key: (i32, CallSid), change: Change) {
        self.last += 1;
        self.put_back(key, change);
    }

    /// Keeps the later of two changes of one call.
    fn put_back(&mut self, key: (i32, CallSid), change: Change) {
        let at = self.since.map_or(change.asked_at, |since| since.min(change.asked_at));
        self.since = Some(at);
        let account_key = key.0;
        match self.changes.entry(key) {
            std::collections::hash_map::Entry::Occupied(mut standing) => {
                if standing.get().revision < change.revision {
                    standing.insert(change);
                }
            }
            std::collections::hash_map::Entry::Vacant(vacant) => {
                vacant.insert(change);
                *self.by_account.entry(account_key).or_default() += 1;
            }
        }
    }

    /// Takes everything to be written; it counts until [`Self::landed`].
    fn take(&mut self) -> (HashMap<(i32, CallSid), Change>, u64) {
        self.in_flight = std::mem::take(&mut self.by_account);
        self.in_flight_since = self.since.take();
        (std::mem::take(&mut self.changes), self.last)
    }

    /// What was taken is written, or about to be put back.
    fn landed(&mut self) {
        self.in_flight.clear();
        self.in_flight_since = None;
    }

    fn all(&self) -> usize {
        self.changes.len() + self.in_flight.values().sum::<usize>()
    }

    fn of_account(&self, account_key: i32) -> usize {
        let counts = [&self.by_account, &self.in_flight];
        counts.iter().filter_map(|counts| counts.get(&account_key)).sum()
    }

    fn oldest(&self) -> Option<Instant> {
        self.in_flight_since.into_iter().chain(self.since).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(waiting: &mut Waiting, account_key: i32, call: &str, revision: i64) {
        let account = AccountId::parse("acme").unwrap();
        let change = Change { account, revision, hold: None, asked_at: Instant::now() };
        waiting.put((account_key, CallSid::parse(call).unwrap()), change);
    }

    #[test]
    fn what_is_being_written_counts_until_it_is() {
        let mut waiting = Waiting::default();
        put(&mut waiting, 1, "CA1", 1);
        put(&mut waiting, 1, "CA2", 1);
        put(&mut waiting, 2, "CA3", 1);
        let (changes, last) = waiting.take();
        assert_eq!((changes.len(), last), (3, 3));
        put(&mut waiting, 1, "CA4", 1);
        assert_eq!((waiting.all(), waiting.of_account(1), waiting.of_account(2)), (4, 3, 1));
        assert!(waiting.oldest().is_some_and(|oldest| waiting.since.is_some_and(|it| oldest < it)));
        // Postgres is away: everything waits again.
        waiting.landed();
        for (key, change) in changes {
            waiting.put_back(key, change);
        }
        assert_eq!((waiting.all(), waiting.of_account(1), waiting.of_account(2)), (4, 3, 1));
        waiting.take();
        waiting.landed();
        assert_eq!((waiting.all(), waiting.of_account(1), waiting.oldest()), (0, 0, None));
    }
}
