//! Subscriptions: which plan an account was on at any instant.
//!
//! Place in the flow: the ledger loads an account's rows into a [`SubscriptionTimeline`]; rating
//! asks it for the plan and the cycle at a call's start.
//!
//! It must never forget an end: a row without a plan ends what ran before it.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::cycle::{Cycle, cycle_containing};
use super::ids::PlanId;

/// The ledger's number of a subscription row; later rows have greater numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SubscriptionId(pub i64);

impl fmt::Display for SubscriptionId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// One entry of an account's timeline: from `starts_at` on, until the next entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// The row.
    pub id: SubscriptionId,
    /// The plan; `None` ends the subscription before it.
    pub plan: Option<PlanId>,
    /// Its first instant, and the anchor of its cycles.
    pub starts_at: DateTime<Utc>,
}

/// All entries of one account, in order of time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubscriptionTimeline(Vec<Subscription>);

impl SubscriptionTimeline {
    /// Orders rows that come in any order. Of several with the same start the latest row, that with
    /// the greatest id, holds: it was written to replace the others.
    pub fn new(mut entries: Vec<Subscription>) -> Self {
        entries.sort_unstable_by_key(|entry| (entry.starts_at, std::cmp::Reverse(entry.id)));
        entries.dedup_by_key(|entry| entry.starts_at);
        Self(entries)
    }

    /// Gives the plan and the cycle at an instant, or `None` where no subscription runs. The
    /// cycle ends early where the next entry starts: a change cuts it (docs/charging.md, "What
    /// pays").
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

    /// Gives the entry at an instant, also one that ended a subscription; `None` before the first.
    pub fn entry_at(&self, at: DateTime<Utc>) -> Option<&Subscription> {
        self.0[..self.started_by(at)].last()
    }

    /// Gives the entries in order of time, those that were replaced left out.
    pub fn iter(&self) -> std::slice::Iter<'_, Subscription> {
        self.0.iter()
    }

    /// Says whether a request to be on `plan` (`None`: on none) from `starts_at` on needs a new
    /// entry. The plan already in force then is no change, and neither is ending what does not run
    /// (docs/charging.md, "What pays").
    pub fn change_needed(&self, plan: Option<&PlanId>, starts_at: DateTime<Utc>) -> bool {
        let in_force = self.entry_at(starts_at).and_then(|entry| entry.plan.as_ref());
        in_force != plan
    }

    /// Counts the entries that have started by an instant.
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

/// The subscription that runs at an instant, and the cycle the instant is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubscriptionInForce<'a> {
    /// The entry.
    pub subscription: &'a Subscription,
    /// Its plan.
    pub plan: &'a PlanId,
    /// The cycle, its end cut at the next entry's start.
    pub cycle: Cycle,
}
