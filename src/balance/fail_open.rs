//! Grants while Redis is lost, for accounts whose policy is `fail_open`: within a cap, from money
//! alone, counted by each process for itself.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use callmeter_core::domain::{AccountId, CallSid, Money};
use callmeter_core::rating::{GrantOutcome, GrantTerms, Pool, grant_seconds};
use chrono::{DateTime, TimeDelta, Utc};

use super::hold::{Hold, HoldSource};
use super::settings::HoldSettings;
use super::terms::CallTerms;

/// Calls that one account may be granted during one loss.
const CALLS_MAX: usize = 1_000;

/// What was granted since Redis was lost.
#[derive(Debug, Default)]
pub(super) struct FailOpen(Mutex<HashMap<AccountId, HashMap<CallSid, Hold>>>);

impl FailOpen {
    /// Grants from what the cap leaves; `None` where it leaves nothing. The allowance is not known
    /// now, so all of the call is priced.
    #[expect(clippy::too_many_arguments, reason = "the parts of a place, without Redis")]
    pub(super) fn grant(
        &self,
        account: &AccountId,
        call_sid: &CallSid,
        terms: &CallTerms,
        asked_seconds: u32,
        cap: Money,
        settings: &HoldSettings,
        now: DateTime<Utc>,
    ) -> Option<Hold> {
        let mut granted = self.lock();
        let calls = granted.entry(account.clone()).or_default();
        if let Some(hold) = calls.get(call_sid) {
            return Some(hold.clone());
        }
        let is_refused = terms.blocks_overage || terms.is_refused || calls.len() >= CALLS_MAX;
        if is_refused {
            return None;
        }
        let spent = calls.values().map(|hold| hold.money.micros()).sum::<i64>();
        let pool = Pool {
            allowance_seconds: 0,
            money: Money::from_micros(cap.micros().saturating_sub(spent)),
        };
        let grant_terms = GrantTerms { rate: terms.rate, increments: terms.increments };
        let GrantOutcome::Granted(grant) =
            grant_seconds(pool, grant_terms, asked_seconds, settings.granted_seconds_max)
        else {
            return None;
        };
        let lives = settings.ring_seconds + grant.granted_seconds;
        let valid_until = now + TimeDelta::seconds(lives.into());
        let hold = Hold {
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
            operation: "fail_open".to_owned(),
        };
        calls.insert(call_sid.clone(), hold.clone());
        Some(hold)
    }

    /// Ends the loss for an account: Redis answered for it, holds of the journal included.
    pub(super) fn end(&self, account: &AccountId) {
        let mut granted = self.lock();
        if !granted.is_empty() {
            granted.remove(account);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<AccountId, HashMap<CallSid, Hold>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
