//! The cycle, subscription and catalog version of a call.

use callmeter_core::domain::{Subscription, SubscriptionId, SubscriptionTimeline};

use crate::world::{check, instant, plan_id};

const PLANS: &str = r#"
    [standard]
    per_minute = "0.020"

    [[plans]]
    id = "small"
    name = "Small"
    monthly_fee = "29.00"
    included_minutes = 2
    per_minute = "0.014"

    [[plans]]
    id = "large"
    name = "Large"
    monthly_fee = "79.00"
    included_minutes = 5
    per_minute = "0.009"
"#;

/// The same plans with other rates and minutes; `small` is gone and `extra` is new.
const PLANS_LATER: &str = r#"
    [standard]
    per_minute = "0.021"

    [[plans]]
    id = "large"
    name = "Large"
    monthly_fee = "89.00"
    included_minutes = 3
    per_minute = "0.008"

    [[plans]]
    id = "extra"
    name = "Extra"
    monthly_fee = "99.00"
    included_minutes = 4
    per_minute = "0.007"
"#;

#[test]
fn cycles_return_to_the_anchor_after_a_short_month() {
    check(
        &[PLANS],
        "now 2026-01-31T10:30:00Z
        subscribe small -> new
        cycle 2026-01-31T10:29:59Z -> none
        cycle 2026-01-31T10:30:00Z -> small, 2026-01-31T10:30:00Z to 2026-02-28T10:30:00Z
        cycle 2026-02-28T10:29:59Z -> small, 2026-01-31T10:30:00Z to 2026-02-28T10:30:00Z
        cycle 2026-02-28T10:30:00Z -> small, 2026-02-28T10:30:00Z to 2026-03-31T10:30:00Z
        cycle 2026-03-31T10:29:59Z -> small, 2026-02-28T10:30:00Z to 2026-03-31T10:30:00Z
        cycle 2026-04-01T00:00:00Z -> small, 2026-03-31T10:30:00Z to 2026-04-30T10:30:00Z
        cycle 2026-05-01T00:00:00Z -> small, 2026-04-30T10:30:00Z to 2026-05-31T10:30:00Z
        cycle 2028-03-01T00:00:00Z -> small, 2028-02-29T10:30:00Z to 2028-03-31T10:30:00Z",
    );
}

#[test]
fn unused_minutes_lapse_and_a_new_cycle_begins_full() {
    check(
        &[PLANS],
        "now 2026-01-31T10:00:00Z
        subscribe small -> new
        tick 2 hours
        call 58s -> 60 of 120 + 0 at 0.014000 = 0.000000 overage, v1
        now 2026-02-28T10:01:00Z
        call 60s -> 60 of 120 + 0 at 0.014000 = 0.000000 overage, v1  # started on the boundary
        now 2026-02-28T10:00:59Z
        call 60s -> 60 of 60 + 0 at 0.014000 = 0.000000 overage, v1   # a second before it
        now 2026-02-28T10:00:30Z
        call 31s -> 0 of 0 + 60 at 0.014000 = 0.014000 overage, v1",
    );
}

#[test]
fn a_late_event_uses_what_is_left_of_its_own_cycle() {
    check(
        &[PLANS],
        "now 2026-01-10T00:00:00Z
        subscribe small -> new
        now 2026-03-20T00:00:00Z
        call 119s -> 120 of 120 + 0 at 0.014000 = 0.000000 overage, v1
        call 45s ended 2026-01-12T00:00:00Z -> 60 of 120 + 0 at 0.014000 = 0.000000 overage, v1
        call 99s ended 2026-01-13T00:00:00Z -> 60 of 60 + 60 at 0.014000 = 0.014000 overage, v1
        call 46s ended 2026-02-12T00:00:00Z -> 60 of 120 + 0 at 0.014000 = 0.000000 overage, v1
        call 47s ended 2026-01-09T23:59:59Z -> 0 of 0 + 60 at 0.020000 = 0.020000 call, v1
        call 44s -> 0 of 0 + 60 at 0.014000 = 0.014000 overage, v1",
    );
}

#[test]
fn a_change_cuts_the_cycle_and_begins_a_full_one() {
    check(
        &[PLANS],
        "now 2026-01-10T00:00:00Z
        subscribe small -> new
        tick 1 days
        call 70s -> 120 of 120 + 0 at 0.014000 = 0.000000 overage, v1
        now 2026-01-20T08:00:00Z
        subscribe large -> new
        cycle 2026-01-20T07:59:59Z -> small, 2026-01-10T00:00:00Z to 2026-01-20T08:00:00Z
        cycle -> large, 2026-01-20T08:00:00Z to 2026-02-20T08:00:00Z
        tick 1 hours
        call 71s -> 120 of 300 + 0 at 0.009000 = 0.000000 overage, v1
        call 72s ended 2026-01-20T08:01:00Z -> 0 of 0 + 120 at 0.014000 = 0.028000 overage, v1
        call 60s ended 2026-01-20T08:01:00Z -> 60 of 180 + 0 at 0.009000 = 0.000000 overage, v1",
    );
}

#[test]
fn the_plan_already_in_force_is_no_change() {
    check(
        &[PLANS],
        "now 2026-01-10T00:00:00Z
        unsubscribe -> no change
        subscribe small -> new
        subscribe small -> no change
        subscribe small 2026-01-15T00:00:00Z -> no change
        cycle 2026-01-16T00:00:00Z -> small, 2026-01-10T00:00:00Z to 2026-02-10T00:00:00Z
        subscribe small 2026-01-05T00:00:00Z -> new
        subscribe large 2026-02-01T00:00:00Z -> new
        subscribe small 2026-01-31T23:59:59Z -> no change
        subscribe small 2026-02-01T00:00:00Z -> new
        unsubscribe 2026-03-01T00:00:00Z -> new
        unsubscribe 2026-03-02T00:00:00Z -> no change",
    );
}

#[test]
fn a_subscription_that_ended_and_began_again_has_a_new_anchor() {
    check(
        &[PLANS],
        "now 2026-01-10T00:00:00Z
        subscribe small -> new
        unsubscribe 2026-02-15T12:00:00Z -> new
        subscribe small 2026-03-05T06:00:00Z -> new
        cycle 2026-02-09T23:59:59Z -> small, 2026-01-10T00:00:00Z to 2026-02-10T00:00:00Z
        cycle 2026-02-15T11:59:59Z -> small, 2026-02-10T00:00:00Z to 2026-02-15T12:00:00Z
        cycle 2026-02-15T12:00:00Z -> none
        cycle 2026-03-05T05:59:59Z -> none
        cycle 2026-03-05T06:00:00Z -> small, 2026-03-05T06:00:00Z to 2026-04-05T06:00:00Z
        now 2026-03-20T00:00:00Z
        call 9s ended 2026-02-20T00:00:00Z -> 0 of 0 + 60 at 0.020000 = 0.020000 call, v1
        call 9s ended 2026-02-12T00:00:00Z -> 60 of 120 + 0 at 0.014000 = 0.000000 overage, v1
        call 9s -> 60 of 120 + 0 at 0.014000 = 0.000000 overage, v1",
    );
}

#[test]
fn a_backdated_change_concerns_the_calls_that_are_committed_later() {
    check(
        &[PLANS],
        "now 2026-02-20T00:00:00Z
        call 61s ended 2026-02-05T00:00:00Z -> 0 of 0 + 120 at 0.020000 = 0.040000 call, v1
        subscribe small 2026-02-01T00:00:00Z -> new
        call 62s ended 2026-02-05T00:00:00Z -> 120 of 120 + 0 at 0.014000 = 0.000000 overage, v1
        subscribe large 2026-02-04T00:00:00Z -> new
        call 63s ended 2026-02-05T00:00:00Z -> 120 of 300 + 0 at 0.009000 = 0.000000 overage, v1
        call 64s ended 2026-02-03T00:00:00Z -> 0 of 0 + 120 at 0.014000 = 0.028000 overage, v1
        cycle 2026-02-03T00:00:00Z -> small, 2026-02-01T00:00:00Z to 2026-02-04T00:00:00Z",
    );
}

#[test]
fn the_call_start_decides_even_where_the_call_ends_under_other_terms() {
    check(
        &[PLANS, PLANS_LATER],
        "catalog 2026-02-01T00:00:00Z
        now 2026-02-01T00:00:30Z
        call 31s -> 0 of 0 + 60 at 0.020000 = 0.020000 call, v1
        call 30s -> 0 of 0 + 60 at 0.021000 = 0.021000 call, v2",
    );
}

#[test]
fn rates_are_of_the_call_start_and_included_minutes_of_the_cycle_start() {
    check(
        &[PLANS, PLANS_LATER],
        "now 2026-01-20T00:00:00Z
        subscribe large -> new
        catalog 2026-02-01T00:00:00Z
        now 2026-02-10T00:00:00Z
        call 250s -> 300 of 300 + 0 at 0.008000 = 0.000000 overage, v2
        call 10s  -> 0 of 0 + 60 at 0.008000 = 0.008000 overage, v2
        call 11s ended 2026-01-25T00:00:00Z -> 0 of 0 + 60 at 0.009000 = 0.009000 overage, v1
        now 2026-02-25T00:00:00Z
        call 12s  -> 60 of 180 + 0 at 0.008000 = 0.000000 overage, v2",
    );
}

#[test]
fn a_plan_that_the_version_in_force_lacks_is_taken_from_the_nearest_one_that_has_it() {
    check(
        &[PLANS, PLANS_LATER],
        "now 2026-01-10T00:00:00Z
        catalog 2026-02-01T00:00:00Z
        subscribe extra -> new
        now 2026-01-12T00:00:00Z
        call 10s -> 60 of 240 + 0 at 0.007000 = 0.000000 overage, v2
        subscribe small -> new
        now 2026-02-05T00:00:00Z
        call 11s -> 60 of 120 + 0 at 0.014000 = 0.000000 overage, v1",
    );
}

#[test]
fn a_plan_that_no_version_has_is_an_error_that_names_it() {
    check(
        &[PLANS],
        "now 2026-01-10T00:00:00Z
        subscribe gone -> new
        call 0s -> no catalog version has plan gone
        call 1s -> 0 of 0 + 60 at 0.020000 = 0.020000 call, v1",
    );
}

fn entry(id: i64, plan: Option<&str>, starts_at: &str) -> Subscription {
    let plan = plan.map(plan_id);
    Subscription { id: SubscriptionId(id), plan, starts_at: instant(starts_at) }
}

#[test]
fn rows_come_in_any_order_and_of_equal_starts_the_latest_row_holds() {
    let starts = ["2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z"];
    let rows = [
        entry(1, Some("small"), starts[0]),
        entry(2, Some("large"), starts[2]),
        entry(3, Some("large"), starts[1]),
        entry(4, None, starts[1]),
        entry(5, Some("small"), starts[2]),
    ];
    let expected = [&rows[0], &rows[3], &rows[4]].map(Clone::clone);
    for turn in 0..rows.len() {
        let mut turned = rows.to_vec();
        turned.rotate_left(turn);
        for ordered in [turned.clone(), turned.into_iter().rev().collect()] {
            let timeline = SubscriptionTimeline::new(ordered);
            assert!(timeline.iter().eq(&expected), "turned by {turn}: {timeline:?}");
            let ended = timeline.entry_at(instant("2026-02-10T00:00:00Z"));
            assert_eq!(ended.map(|entry| (entry.id.0, entry.plan.is_none())), Some((4, true)));
            assert!(timeline.in_force(instant("2026-02-10T00:00:00Z")).is_none());
            assert!(timeline.entry_at(instant("2025-12-31T23:59:59Z")).is_none());
        }
    }
}
