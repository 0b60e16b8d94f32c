//! Subscriptions: which plan an account has at any time.
//!
//! Place in the flow: the ledger loads an account's rows into a [`SubscriptionTimeline`]; rating
//! finds the plan and the cycle of a call's start in it.
//!
//! It must never lose an end: a row without a plan ends the previous subscription.

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::cycle::{Cycle, cycle_containing};
use super::ids::PlanId;

/// The ledger's number of a subscription row; later rows have higher numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SubscriptionId(pub i64);

impl fmt::Display for SubscriptionId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// One entry of an account's timeline: from `starts_at` until the next entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// The row.
    pub id: SubscriptionId,
    /// The plan; `None` ends the previous subscription.
    pub plan: Option<PlanId>,
    /// Its start, and the anchor of its cycles.
    pub starts_at: DateTime<Utc>,
}

/// All entries of one account, in order of time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubscriptionTimeline(Vec<Subscription>);

impl SubscriptionTimeline {
    /// Takes rows in any order. Of several with the same start, the row with the highest id counts:
    /// it was written to replace the others.
    pub fn new(mut entries: Vec<Subscription>) -> Self {
        entries.sort_unstable_by_key(|entry| (entry.starts_at, std::cmp::Reverse(entry.id)));
        entries.dedup_by_key(|entry| entry.starts_at);
        Self(entries)
    }

    /// Returns the plan and the cycle at a given time, or `None` if no subscription is in force.
    /// The cycle ends early if the next entry starts within it (docs/charging.md, "What pays").
    pub fn in_force(&self, at: DateTime<Utc>) -> Option<SubscriptionInForce<'_>> {
        let started = self.started_by(at);
        let subscription = self.0[..started].last()?;
        let plan = subscription.plan.as_ref()?;
        let mut cycle = cycle_containing(subscription.starts_at, at);
        if let Some(next) = self.0.get(started) {
            cycle.end = cycle.end.min(next.starts_at);
        }
        Some(SubscriptionInForce { subscription, plan, cycle })
    }

    /// Returns the last cycle that was over by `now` and that no change cut short, while a
    /// subscription was in force all the time since; `None` if there is none.
    pub fn last_whole_cycle(&self, now: DateTime<Utc>) -> Option<SubscriptionInForce<'_>> {
        let mut later = self.in_force(now)?;
        // Each cut cycle has an entry of its own.
        for _ in 0..=self.0.len() {
            let earlier = self.in_force(later.cycle.start - TimeDelta::microseconds(1))?;
            let whole = cycle_containing(earlier.subscription.starts_at, earlier.cycle.start);
            if earlier.cycle == whole {
                return Some(earlier);
            }
            later = earlier;
        }
        None
    }

    /// Returns the entry at a given time, which may end a subscription; `None` before the first.
    pub fn entry_at(&self, at: DateTime<Utc>) -> Option<&Subscription> {
        self.0[..self.started_by(at)].last()
    }

    /// Returns the entries in order of time, without those that were replaced.
    pub fn iter(&self) -> std::slice::Iter<'_, Subscription> {
        self.0.iter()
    }

    /// True if setting `plan` (`None`: no plan) from `starts_at` needs a new entry. It does not if
    /// that plan is already in force then, or if there is no subscription to end (docs/charging.md,
    /// "What pays").
    pub fn change_needed(&self, plan: Option<&PlanId>, starts_at: DateTime<Utc>) -> bool {
        let in_force = self.entry_at(starts_at).and_then(|entry| entry.plan.as_ref());
        in_force != plan
    }

    /// Counts the entries that have started by a given time.
    fn started_by(&self, at: DateTime<Utc>) -> usize {
        self.0.partition_point(|entry| entry.starts_at <= at)
    }
}

impl<'a> IntoIterator for &'a SubscriptionTimeline {
    type Item = &'a Subscription;
    type IntoIter = std::slice::Iter<'a, Subscription>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// The subscription in force at a given time, and the cycle of that time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubscriptionInForce<'a> {
    /// The entry.
    pub subscription: &'a Subscription,
    /// Its plan.
    pub plan: &'a PlanId,
    /// The cycle, cut at the next entry's start.
    pub cycle: Cycle,
}
