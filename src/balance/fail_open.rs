//! What this process granted while neither Redis nor Postgres answered, for accounts whose policy is
//! `fail_open`: within the cap, from money alone.
//!
//! Where Postgres answers, the journal is asked instead ([`super::without_redis`]), and all processes
//! share one cap.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use callmeter_core::domain::{AccountId, CallSid, Money};
use callmeter_core::rating::{GrantOutcome, GrantTerms, Pool, grant_seconds};
use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use super::hold::{FAIL_OPEN, Hold, HoldSource};
use super::settings::HoldSettings;
use super::terms::CallTerms;

/// Calls of one account that are kept, and that one process may grant alone.
const CALLS_MAX: usize = 1_000;
/// After a failure Postgres is left alone for so long.
const POSTGRES_AGAIN: Duration = Duration::from_secs(1);

/// Calls of this process that Postgres decides about at the same time.
const TURNS: usize = 4;

/// What was granted since Redis was lost.
#[derive(Debug)]
pub(super) struct FailOpen {
    granted: Mutex<Granted>,
    turns: Semaphore,
}

#[derive(Debug, Default)]
struct Granted {
    /// When Redis answered last: by it one loss is told from the next.
    redis_answered_at: i64,
    postgres_failed_at: Option<Instant>,
    calls: HashMap<AccountId, HashMap<CallSid, Hold>>,
}

impl Default for FailOpen {
    fn default() -> Self {
        Self { granted: Mutex::default(), turns: Semaphore::new(TURNS) }
    }
}

impl FailOpen {
    /// A turn at asking Postgres.
    pub(super) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        self.turns.acquire().await.ok()
    }

    /// What was granted to an account's calls since Redis answered last.
    pub(super) fn of(&self, account: &AccountId, redis_answered_at: i64) -> HashMap<CallSid, Hold> {
        let granted = self.lock(redis_answered_at);
        granted.calls.get(account).cloned().unwrap_or_default()
    }

    /// Keeps what Postgres granted, for the time when it does not answer either.
    pub(super) fn keep(
        &self,
        account: &AccountId,
        call_sid: &CallSid,
        hold: &Hold,
        redis_answered_at: i64,
    ) {
        let mut granted = self.lock(redis_answered_at);
        let calls = granted.calls.entry(account.clone()).or_default();
        if calls.len() < CALLS_MAX {
            calls.insert(call_sid.clone(), hold.clone());
        }
    }

    /// Grants what `decide` says of the calls granted so far, one call after the other; the call's own
    /// grant where it has one. `None`: too many calls were granted.
    pub(super) fn grant<E>(
        &self,
        account: &AccountId,
        call_sid: &CallSid,
        redis_answered_at: i64,
        decide: impl FnOnce(&HashMap<CallSid, Hold>) -> Result<Hold, E>,
    ) -> Option<Result<Hold, E>> {
        let mut granted = self.lock(redis_answered_at);
        let calls = granted.calls.entry(account.clone()).or_default();
        if let Some(hold) = calls.get(call_sid) {
            return Some(Ok(hold.clone()));
        }
        if calls.len() >= CALLS_MAX {
            return None;
        }
        let decided = decide(calls);
        if let Ok(hold) = &decided {
            calls.insert(call_sid.clone(), hold.clone());
        }
        Some(decided)
    }

    /// Whether Postgres may be asked: it has not failed a moment ago.
    pub(super) fn may_ask_postgres(&self) -> bool {
        let failed_at = self.inner().postgres_failed_at;
        failed_at.is_none_or(|at| at.elapsed() > POSTGRES_AGAIN)
    }

    /// Notes whether Postgres answered.
    pub(super) fn asked_postgres(&self, has_answered: bool) {
        self.inner().postgres_failed_at = (!has_answered).then(Instant::now);
    }

    /// What is kept belongs to one loss; it is forgotten with it.
    fn lock(&self, redis_answered_at: i64) -> MutexGuard<'_, Granted> {
        let mut granted = self.inner();
        if granted.redis_answered_at != redis_answered_at {
            granted.redis_answered_at = redis_answered_at;
            granted.calls.clear();
        }
        granted
    }

    fn inner(&self) -> MutexGuard<'_, Granted> {
        self.granted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Grants from what the cap leaves after `spent`; `None` where it leaves nothing. The allowance is not
/// known now, so all of the call is priced.
pub(super) fn grant(
    terms: &CallTerms,
    asked_seconds: u32,
    money: Money,
    settings: &HoldSettings,
    now: DateTime<Utc>,
) -> Option<Hold> {
    let pool = Pool { allowance_seconds: 0, money };
    let grant_terms = GrantTerms { rate: terms.rate, increments: terms.increments };
    let granted = grant_seconds(pool, grant_terms, asked_seconds, settings.granted_seconds_max);
    let GrantOutcome::Granted(grant) = granted else { return None };
    let lives = settings.ring_seconds + grant.granted_seconds;
    let valid_until = now + TimeDelta::seconds(lives.into());
    Some(Hold {
        revision: now.timestamp_micros(),
        granted_seconds: grant.granted_seconds,
        is_final: grant.is_final,
        money: grant.hold,
        allowance_seconds: 0,
        cycle: None,
        included_seconds: 0,
        rate: terms.rate,
        increments: terms.increments,
        blocks_overage: false,
        placed_at: now,
        valid_until,
        expires_at: valid_until + TimeDelta::seconds(settings.grace_seconds.into()),
        source: HoldSource::Authorize,
        operation: FAIL_OPEN.to_owned(),
    })
}
