//! Calls under another plan, and which cycle they are taken of.

use callmeter_core::domain::{
    Call, CallSid, CatalogVersion, Cycle, Increments, Legs, Money, RatePerMinute, Subscription,
    SubscriptionId, SubscriptionTimeline, ZeroDurationCompleted,
};
use callmeter_core::rating::UnderPlan;
use chrono::{DateTime, TimeDelta};
use proptest::prelude::*;

use crate::rating_properties::{increments, plan, price, rates, terms};
use crate::world::{instant, plan_id};

fn cycle() -> Cycle {
    let start = DateTime::UNIX_EPOCH;
    Cycle { start, end: start + TimeDelta::days(31) }
}

fn call(seconds: u32, parent: Option<&str>) -> Call {
    Call {
        call_sid: CallSid::parse("CA0001").expect("a call SID"),
        parent_call_sid: parent.map(Into::into),
        from: None,
        to: None,
        direction: None,
        ended_at: DateTime::UNIX_EPOCH,
        seconds,
        twilio_minutes: None,
        tag: None,
    }
}

proptest! {
    /// The sum is that of the prices of the same calls, one after the other.
    #[test]
    fn a_plan_costs_what_its_calls_cost_one_by_one(
        rate in rates(),
        increments in increments(),
        included_seconds in 0..20_000_u64,
        calls in prop::collection::vec(0..4_000_u32, 0..20),
    ) {
        let mut plan = plan(rate, increments);
        plan.included_seconds = included_seconds;
        let mut under = UnderPlan::new(CatalogVersion(1), &plan, cycle());
        let (mut used, mut seconds, mut micros) = (0, 0, 0);
        for call_seconds in &calls {
            under.add(&call(*call_seconds, None), ZeroDurationCompleted::Minimum).expect("a price");
            let price = price(&terms(&plan, included_seconds), used, *call_seconds);
            used += u64::from(price.allowance_seconds);
            seconds += u64::from(price.wallet_seconds);
            micros += price.amount.micros();
        }
        prop_assert_eq!(under.overage_seconds(), seconds);
        prop_assert_eq!(under.overage(), Money::from_micros(micros));
        prop_assert!(used <= included_seconds);
    }
}

#[test]
fn a_plan_that_charges_parents_only_leaves_their_children_out() {
    let rate = RatePerMinute::parse("0.010").expect("a rate");
    let mut plan = plan(rate, Increments::PER_MINUTE);
    plan.included_seconds = 60;
    let overage = |legs: Legs| {
        let mut plan = plan.clone();
        plan.legs = legs;
        let mut under = UnderPlan::new(CatalogVersion(1), &plan, cycle());
        for (seconds, parent) in [(61, None), (59, Some("CA0000")), (0, Some(""))] {
            let zero_duration = ZeroDurationCompleted::Free;
            under.add(&call(seconds, parent), zero_duration).expect("a price");
        }
        (under.overage_seconds(), under.overage().to_string())
    };
    assert_eq!(overage(Legs::Each), (120, "0.020000".to_owned()));
    assert_eq!(overage(Legs::ParentOnly), (60, "0.010000".to_owned()));
}

#[test]
fn the_last_whole_cycle_is_over_and_was_not_cut() {
    let timeline = |entries: &[(&str, Option<&str>)]| {
        let entries = (1..).zip(entries).map(|(id, (starts_at, plan))| Subscription {
            id: SubscriptionId(id),
            plan: plan.map(plan_id),
            starts_at: instant(starts_at),
        });
        SubscriptionTimeline::new(entries.collect())
    };
    let last = |entries: &[(&str, Option<&str>)], now: &str| {
        let timeline = timeline(entries);
        let found = timeline.last_whole_cycle(instant(now));
        found.map(|found| {
            let days = |at: DateTime<_>| at.format("%m-%d").to_string();
            format!("{} {} {}", found.plan, days(found.cycle.start), days(found.cycle.end))
        })
    };
    let one = [("2026-01-31T10:00:00Z", Some("small"))];
    assert_eq!(last(&one, "2026-02-28T09:59:59Z"), None, "the first cycle is not over");
    assert_eq!(last(&one, "2026-02-28T10:00:00Z").as_deref(), Some("small 01-31 02-28"));
    assert_eq!(last(&one, "2026-04-01T00:00:00Z").as_deref(), Some("small 02-28 03-31"));
    let changed = [one[0], ("2026-03-10T00:00:00Z", Some("large"))];
    assert_eq!(last(&changed, "2026-03-20T00:00:00Z").as_deref(), Some("small 01-31 02-28"));
    assert_eq!(last(&changed, "2026-04-10T00:00:00Z").as_deref(), Some("large 03-10 04-10"));
    let ended = [one[0], ("2026-03-10T00:00:00Z", None)];
    assert_eq!(last(&ended, "2026-03-20T00:00:00Z"), None, "there is no plan");
    let again = [ended[0], ended[1], ("2026-03-20T00:00:00Z", Some("large"))];
    assert_eq!(last(&again, "2026-03-25T00:00:00Z"), None, "there was none in between");
}
