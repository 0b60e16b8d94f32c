//! Reads from Twilio: usage by day, and the calls around a day. A row that cannot be read is
//! counted and does not affect the others.

use std::collections::{BTreeMap, HashSet};

use chrono::NaiveDate;

use super::compare::TwilioCalls;
use super::{CALLS_MAX, DayRange, ReconcileError, Reconciler, nothing};
use crate::ledger::known_calls::LinkedAccount;
use crate::twilio::{Credentials, UsageRecord};

/// Usage of an account.
#[derive(Debug, Default)]
pub(super) struct TheirUsage {
    /// Sums of all categories, by day.
    pub by_day: BTreeMap<NaiveDate, UsageRecord>,
    /// Days with a record that cannot be read.
    pub unreadable_days: HashSet<NaiveDate>,
    /// Records that cannot be read, including those without a readable day.
    pub unreadable_rows: u64,
}

/// Completed calls of an account.
#[derive(Debug, Default)]
pub(super) struct TheirCalls {
    /// The calls that can be read in full.
    pub calls: TwilioCalls,
    /// SIDs of the others, which are not compared.
    pub unreadable: HashSet<String>,
    /// Rows that cannot be read, including those without a SID.
    pub unreadable_rows: u64,
}

impl Reconciler {
    /// Sums the categories, by day.
    pub(super) async fn usage(
        &self,
        linked: &LinkedAccount,
        credentials: &Credentials,
        range: DayRange,
    ) -> Result<TheirUsage, ReconcileError> {
        let mut sums = TheirUsage::default();
        for category in &self.categories {
            let asked =
                self.twilio.usage(credentials, &linked.sid, category, range.first, range.last);
            let usage = asked.await?;
            for record in usage.records {
                let sum = sums
                    .by_day
                    .entry(record.day)
                    .or_insert_with(|| UsageRecord { as_of: record.as_of, ..nothing(record.day) });
                sum.calls += record.calls;
                sum.minutes += record.minutes;
                sum.cost = sum.cost.zip(record.cost).and_then(|(sum, cost)| sum.checked_add(cost));
                sum.as_of = sum.as_of.min(record.as_of);
            }
            for day in usage.unreadable {
                sums.unreadable_rows += 1;
                sums.unreadable_days.extend(day);
                tracing::warn!(account = %linked.account, ?day, category, "usage cannot be read");
            }
        }
        Ok(sums)
    }

    /// Lists the completed calls of a day and the two days beside it; `None`: there are too many.
    pub(super) async fn calls_around(
        &self,
        linked: &LinkedAccount,
        credentials: &Credentials,
        day: NaiveDate,
    ) -> Result<Option<TheirCalls>, ReconcileError> {
        let (before, behind) = (day.pred_opt().unwrap_or(day), day.succ_opt().unwrap_or(day));
        let mut theirs = TheirCalls::default();
        let mut page = self.twilio.calls(credentials, &linked.sid, before, behind).await?;
        loop {
            let completed =
                |call: &&crate::twilio::CallRecord| call.is_completed() && call.is_of(&linked.sid);
            for call in page.calls.iter().filter(completed) {
                let sid = call.sid.clone();
                if let (Some(at), Some(seconds)) = (call.started_at(), call.duration) {
                    theirs.calls.insert(sid, (at.date_naive(), i64::from(seconds.div_ceil(60))));
                } else {
                    theirs.unreadable.insert(sid);
                    theirs.unreadable_rows += 1;
                }
            }
            theirs.unreadable_rows += u64::try_from(page.unreadable.len()).unwrap_or(u64::MAX);
            theirs.unreadable.extend(page.unreadable.iter().flatten().cloned());
            if theirs.calls.len() + theirs.unreadable.len() > 3 * CALLS_MAX {
                return Ok(None);
            }
            match self.twilio.more_calls(credentials, &page).await? {
                Some(next) => page = next,
                None => break,
            }
        }
        // A repeated row may be readable.
        let TheirCalls { calls, unreadable, .. } = &mut theirs;
        unreadable.retain(|sid| !calls.contains_key(sid));
        Ok(Some(theirs))
    }
}
