//! What accounts spent in their last full days, kept for a minute: only late charges change it before
//! midnight.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use callmeter_core::domain::{AccountId, Money};
use chrono::{DateTime, NaiveDate, Utc};

/// How long a pace is kept.
const KEPT: Duration = Duration::from_mins(1);
/// With more than these, old ones are dropped.
const ACCOUNTS: usize = 4_096;

#[derive(Debug)]
struct Pace {
    day: NaiveDate,
    read: Instant,
    spent: Money,
}

/// The paces of accounts.
#[derive(Debug, Default)]
pub(super) struct Paces(Mutex<HashMap<AccountId, Pace>>);

impl Paces {
    /// The pace of an account, if it was read within a minute and on this UTC day.
    pub(super) fn find(&self, id: &AccountId, now: DateTime<Utc>) -> Option<Money> {
        let paces = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let pace = paces.get(id)?;
        (pace.day == now.date_naive() && pace.read.elapsed() < KEPT).then_some(pace.spent)
    }

    /// Keeps what was just read.
    pub(super) fn keep(&self, id: &AccountId, now: DateTime<Utc>, spent: Money) {
        let mut paces = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if paces.len() >= ACCOUNTS {
            paces.retain(|_, pace| pace.read.elapsed() < KEPT);
        }
        paces.insert(id.clone(), Pace { day: now.date_naive(), read: Instant::now(), spent });
    }
}
