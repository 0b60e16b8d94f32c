//! An account of the model: who pays, and with which plan at which time.

use super::money::Micros;
use super::time::At;

/// A plan from a given time; no plan ends the subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PlanChange {
    pub(crate) starts_at: At,
    pub(crate) plan: Option<&'static str>,
}

#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub(crate) id: String,
    pub(crate) sid: String,
    pub(crate) opening_balance: Micros,
    pub(crate) credit_limit: Micros,
    /// The changes in the order of the requests.
    pub(crate) changes: Vec<PlanChange>,
    /// Signed amounts of the adjustments made by an admin, in any order.
    pub(crate) adjustments: Vec<Micros>,
}

/// A subscription in force: its plan and the time that anchors its cycles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Subscription {
    pub(crate) plan: &'static str,
    pub(crate) anchor: At,
}

impl Account {
    /// The timeline after all changes. A change to the plan already in force changes nothing; of
    /// two changes at the same time the later one counts.
    pub(crate) fn timeline(&self) -> Vec<PlanChange> {
        let mut timeline: Vec<PlanChange> = Vec::new();
        for change in &self.changes {
            if in_force(&timeline, change.starts_at).and_then(|now| now.plan) == change.plan {
                continue;
            }
            timeline.retain(|other| other.starts_at != change.starts_at);
            timeline.push(change.clone());
            timeline.sort_by_key(|change| change.starts_at);
        }
        timeline
    }

    /// The subscription in force at a time.
    pub(crate) fn subscription(&self, at: At) -> Option<Subscription> {
        let timeline = self.timeline();
        let change = in_force(&timeline, at)?;
        change.plan.map(|plan| Subscription { plan, anchor: change.starts_at })
    }
}

fn in_force(timeline: &[PlanChange], at: At) -> Option<&PlanChange> {
    timeline.iter().rfind(|change| change.starts_at <= at)
}

#[test]
fn the_models_subscriptions_last_until_the_next_one_or_their_end() {
    let change = |starts_at, plan| PlanChange { starts_at, plan };
    let account = Account {
        id: "a".into(),
        sid: "AC1".into(),
        opening_balance: 0,
        credit_limit: 0,
        changes: vec![
            change(100, Some("starter")),
            change(200, Some("starter")),
            change(300, Some("team")),
            change(400, None),
            change(50, Some("team")),
        ],
        adjustments: vec![],
    };
    let at = |instant| account.subscription(instant).map(|now| (now.plan, now.anchor));
    assert_eq!(at(49), None);
    assert_eq!(at(50), Some(("team", 50)));
    assert_eq!(at(99), Some(("team", 50)));
    assert_eq!(at(250), Some(("starter", 100)), "the plan already in force: no change");
    assert_eq!(at(300), Some(("team", 300)));
    assert_eq!(at(400), None);
}
