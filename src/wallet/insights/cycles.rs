//! The days of an account's cycles, to ask about.

use callmeter_core::domain::Cycle;
use chrono::{DateTime, TimeDelta, Utc};

use crate::ledger::LedgerError;
use crate::ledger::insights::Days;
use crate::ledger::store::Store;
use crate::ledger::subscriptions;

/// The UTC days that touch a cycle, up to today.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CycleDays {
    /// Those of the cycle in progress; `None`: there is no plan.
    pub present: Option<Days>,
    /// Those of the last whole cycle.
    pub last: Option<Days>,
}

/// Finds the days of an account's present and last cycle.
///
/// # Errors
/// If Postgres is unavailable, or holds a value that cannot be read.
pub(in crate::wallet) async fn cycle_days(
    store: &Store,
    account_key: i32,
    now: DateTime<Utc>,
) -> Result<CycleDays, LedgerError> {
    let mut connection = store.read().await?;
    let timeline = subscriptions::timeline(&mut connection, account_key).await?;
    let today = now.date_naive();
    let days = |cycle: Cycle| {
        let last = (cycle.end - TimeDelta::microseconds(1)).date_naive().min(today);
        Days::new(Some(cycle.start.date_naive()), Some(last), today).ok()
    };
    Ok(CycleDays {
        present: timeline.in_force(now).and_then(|found| days(found.cycle)),
        last: timeline.last_whole_cycle(now).and_then(|found| days(found.cycle)),
    })
}
