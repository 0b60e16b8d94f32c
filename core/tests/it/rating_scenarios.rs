//! The cost of a call, case by case.

use crate::world::check;

/// Each plan has its own rate, so that a price identifies its plan.
const PLANS: &str = r#"
    [standard]
    per_minute = "0.020"
    rates = [
        { prefix = "+44", per_minute = "0.030" },
        { prefix = "+4479", per_minute = "0.071" },
        { prefix = "+881", blocked = true },
    ]

    [[plans]]
    id = "starter"
    name = "Starter"
    monthly_fee = "29.00"
    included_minutes = 2
    per_minute = "0.014"
    rates = [{ prefix = "+33", per_minute = "0.025" }]

    [[plans]]
    id = "second"
    name = "By the second"
    monthly_fee = "31.00"
    included_minutes = 1
    per_minute = "0.0137"
    increments = "1/1"

    [[plans]]
    id = "sixth"
    name = "By the tenth of a minute"
    monthly_fee = "32.00"
    included_minutes = 0
    per_minute = "0.011"
    increments = "6/6"

    [[plans]]
    id = "thirty"
    name = "Half a minute, then tenths"
    monthly_fee = "33.00"
    included_minutes = 0
    per_minute = "0.013"
    increments = "30/6"

    [[plans]]
    id = "minute"
    name = "A minute, then seconds"
    monthly_fee = "34.00"
    included_minutes = 0
    per_minute = "0.017"
    increments = "60/1"

    [[plans]]
    id = "parents"
    name = "Parents only"
    monthly_fee = "35.00"
    included_minutes = 2
    per_minute = "0.016"
    legs = "parent_only"

    [[plans]]
    id = "blocking"
    name = "No overage"
    monthly_fee = "36.00"
    included_minutes = 1
    per_minute = "0.018"
    overage = "block"

    [[plans]]
    id = "tiny"
    name = "Where rounding acts"
    monthly_fee = "0.00"
    included_minutes = 0
    per_minute = "0.000001"
    increments = "1/1"
"#;

#[track_caller]
fn check_plans(script: &str) {
    check(&[PLANS], script);
}

#[test]
fn without_a_subscription_the_wallet_pays_whole_minutes_at_the_standard_rate() {
    check_plans(
        "now 2026-03-10T12:00:00Z
        call 1s   to +15551230001 -> 0 of 0 + 60 at 0.020000 = 0.020000 call, v1
        call 59s  to +15551230001 -> 0 of 0 + 60 at 0.020000 = 0.020000 call, v1
        call 60s  to +15551230001 -> 0 of 0 + 60 at 0.020000 = 0.020000 call, v1
        call 61s  to +15551230001 -> 0 of 0 + 120 at 0.020000 = 0.040000 call, v1
        call 120s to +15551230001 -> 0 of 0 + 120 at 0.020000 = 0.040000 call, v1
        call 86400s to +15551230001 -> 0 of 0 + 86400 at 0.020000 = 28.800000 call, v1",
    );
}

#[test]
fn the_allowance_pays_first_and_the_wallet_pays_the_rest_as_overage() {
    check_plans(
        "now 2026-03-10T12:00:00Z
        subscribe starter -> new
        tick 1 hours
        call 61s to +15551230001 -> 120 of 120 + 0 at 0.014000 = 0.000000 overage, v1
        call 5s  to +15551230001 -> 0 of 0 + 60 at 0.014000 = 0.014000 overage, v1
        unsubscribe -> new
        tick 5 minutes
        call 5s  to +15551230001 -> 0 of 0 + 60 at 0.020000 = 0.020000 call, v1",
    );
}

#[test]
fn a_call_across_the_end_of_the_allowance_is_split_second_for_second() {
    check_plans(
        "now 2026-03-10T12:00:00Z
        subscribe second -> new
        tick 1 hours
        call 40s to +15551230001 -> 40 of 60 + 0 at 0.013700 = 0.000000 overage, v1
        call 36s to +15551230001 -> 20 of 20 + 16 at 0.013700 = 0.003653 overage, v1
        call 36s to +15551230001 -> 0 of 0 + 36 at 0.013700 = 0.008220 overage, v1",
    );
}

#[test]
fn the_split_does_not_round_the_wallet_part_up_again() {
    // 61 seconds are billed as 120, of which the allowance has 60 left: 60 + 60, one minute for the
    // wallet.
    check_plans(
        "now 2026-03-10T12:00:00Z
        subscribe starter -> new
        tick 1 hours
        call 7s  to +15551230001 -> 60 of 120 + 0 at 0.014000 = 0.000000 overage, v1
        call 61s to +15551230001 -> 60 of 60 + 60 at 0.014000 = 0.014000 overage, v1",
    );
}

#[test]
fn each_kind_of_increments_bills_its_own_minimum_and_steps() {
    check_plans(
        "now 2026-03-10T12:00:00Z
        subscribe sixth -> new
        tick 1 hours
        call 1s  to +15551230001 -> 0 of 0 + 6 at 0.011000 = 0.001100 overage, v1
        call 6s  to +15551230001 -> 0 of 0 + 6 at 0.011000 = 0.001100 overage, v1
        call 7s  to +15551230001 -> 0 of 0 + 12 at 0.011000 = 0.002200 overage, v1
        subscribe thirty -> new
        tick 1 hours
        call 1s  to +15551230001 -> 0 of 0 + 30 at 0.013000 = 0.006500 overage, v1
        call 30s to +15551230001 -> 0 of 0 + 30 at 0.013000 = 0.006500 overage, v1
        call 31s to +15551230001 -> 0 of 0 + 36 at 0.013000 = 0.007800 overage, v1
        call 37s to +15551230001 -> 0 of 0 + 42 at 0.013000 = 0.009100 overage, v1
        subscribe minute -> new
        tick 1 hours
        call 1s  to +15551230001 -> 0 of 0 + 60 at 0.017000 = 0.017000 overage, v1
        call 61s to +15551230001 -> 0 of 0 + 61 at 0.017000 = 0.017283 overage, v1
        call 75s to +15551230001 -> 0 of 0 + 75 at 0.017000 = 0.021250 overage, v1",
    );
}

#[test]
fn an_amount_is_rounded_once_and_half_a_micro_dollar_counts_whole() {
    check_plans(
        "now 2026-03-10T12:00:00Z
        subscribe tiny -> new
        tick 1 hours
        call 29s to +15551230001 -> 0 of 0 + 29 at 0.000001 = 0.000000 overage, v1
        call 30s to +15551230001 -> 0 of 0 + 30 at 0.000001 = 0.000001 overage, v1
        call 89s to +15551230001 -> 0 of 0 + 89 at 0.000001 = 0.000001 overage, v1
        call 90s to +15551230001 -> 0 of 0 + 90 at 0.000001 = 0.000002 overage, v1",
    );
}

#[test]
fn a_completed_call_of_no_length_is_billed_the_minimum_unless_set_free() {
    check_plans(
        "now 2026-03-10T12:00:00Z
        call 0s to +15551230001 -> 0 of 0 + 60 at 0.020000 = 0.020000 call, v1
        subscribe thirty -> new
        call 0s to +15551230001 -> 0 of 0 + 30 at 0.013000 = 0.006500 overage, v1
        zero duration free
        call 0s to +15551230001 -> 0 of 0 + 0 at 0.013000 = 0.000000 overage, v1
        tick 1 hours
        call 1s to +15551230001 -> 0 of 0 + 30 at 0.013000 = 0.006500 overage, v1",
    );
}

#[test]
fn where_only_parents_are_charged_a_child_leg_costs_and_uses_nothing() {
    check_plans(
        "now 2026-03-10T12:00:00Z
        subscribe parents -> new
        tick 1 hours
        call 61s to +15551230001 child of CA1 -> 0 of 120 + 0 at 0.016000 = 0.000000 overage, v1
        call 50s to +15551230001 -> 60 of 120 + 0 at 0.016000 = 0.000000 overage, v1
        call 62s to +15551230001 child of CA1 -> 0 of 60 + 0 at 0.016000 = 0.000000 overage, v1
        call 63s to +15551230001 -> 60 of 60 + 60 at 0.016000 = 0.016000 overage, v1
        call 64s to +15551230001 child of CA1 -> 0 of 0 + 0 at 0.016000 = 0.000000 overage, v1",
    );
}

#[test]
fn an_empty_parent_names_no_parent() {
    check_plans(
        "now 2026-03-10T12:00:00Z
        subscribe parents -> new
        tick 1 hours
        call 61s to +15551230001 child of '' -> 120 of 120 + 0 at 0.016000 = 0.000000 overage, v1",
    );
}

#[test]
fn where_each_leg_is_charged_a_child_leg_costs_like_any_other() {
    check_plans(
        "now 2026-03-10T12:00:00Z
        call 61s to +15551230001 child of CA1 -> 0 of 0 + 120 at 0.020000 = 0.040000 call, v1
        subscribe blocking -> new
        tick 1 hours
        call 61s to +15551230001 child of CA1 -> 60 of 60 + 60 at 0.018000 = 0.018000 overage, v1",
    );
}

#[test]
fn the_longest_matching_prefix_of_the_rated_number_sets_the_rate() {
    check_plans(
        "now 2026-03-10T12:00:00Z
        call 9s to +4420123       -> 0 of 0 + 60 at 0.030000 +44 = 0.030000 call, v1
        call 9s to +447812        -> 0 of 0 + 60 at 0.030000 +44 = 0.030000 call, v1
        call 9s to +447912        -> 0 of 0 + 60 at 0.071000 +4479 = 0.071000 call, v1
        call 9s to +4479          -> 0 of 0 + 60 at 0.071000 +4479 = 0.071000 call, v1
        call 9s to +447           -> 0 of 0 + 60 at 0.030000 +44 = 0.030000 call, v1
        call 9s to +4             -> 0 of 0 + 60 at 0.020000 = 0.020000 call, v1
        call 9s to +              -> 0 of 0 + 60 at 0.020000 = 0.020000 call, v1",
    );
}

#[test]
fn an_end_that_is_no_number_takes_the_default_rate() {
    check_plans(
        "now 2026-03-10T12:00:00Z
        call 9s to 4479123        -> 0 of 0 + 60 at 0.020000 = 0.020000 call, v1
        call 9s to client:+447912 -> 0 of 0 + 60 at 0.020000 = 0.020000 call, v1
        call 9s to sip:+44@x.test -> 0 of 0 + 60 at 0.020000 = 0.020000 call, v1
        call 9s to anonymous      -> 0 of 0 + 60 at 0.020000 = 0.020000 call, v1
        call 9s to +4é79          -> 0 of 0 + 60 at 0.020000 = 0.020000 call, v1
        call 9s from +447912      -> 0 of 0 + 60 at 0.020000 = 0.020000 call, v1",
    );
}

#[test]
fn the_rated_number_is_from_for_inbound_and_trunking_originating_and_else_to() {
    check_plans(
        "now 2026-03-10T12:00:00Z
        call 9s from +442 to +4479 inbound -> 0 of 0 + 60 at 0.030000 +44 = 0.030000 call, v1
        call 9s from +442 to +4479 trunking-originating
            -> 0 of 0 + 60 at 0.030000 +44 = 0.030000 call, v1
        call 9s from +442 to +4479 trunking-terminating
            -> 0 of 0 + 60 at 0.071000 +4479 = 0.071000 call, v1
        call 9s from +442 to +4479 outbound-api
            -> 0 of 0 + 60 at 0.071000 +4479 = 0.071000 call, v1
        call 9s from +442 to +4479 outbound-dial
            -> 0 of 0 + 60 at 0.071000 +4479 = 0.071000 call, v1
        call 9s from +442 to +4479 -> 0 of 0 + 60 at 0.071000 +4479 = 0.071000 call, v1",
    );
}

#[test]
fn a_call_to_a_blocked_prefix_made_all_the_same_is_charged_at_the_default_rate() {
    check_plans(
        "now 2026-03-10T12:00:00Z
        call 61s to +8816123 -> 0 of 0 + 120 at 0.020000 +881 = 0.040000 call, v1",
    );
}

#[test]
fn a_plan_inherits_none_of_the_standard_prefix_rates() {
    check_plans(
        "now 2026-03-10T12:00:00Z
        subscribe starter -> new
        tick 1 hours
        call 119s to +447912  -> 120 of 120 + 0 at 0.014000 = 0.000000 overage, v1
        call 9s to +447912    -> 0 of 0 + 60 at 0.014000 = 0.014000 overage, v1
        call 9s to +8816123   -> 0 of 0 + 60 at 0.014000 = 0.014000 overage, v1
        call 9s to +33123     -> 0 of 0 + 60 at 0.025000 +33 = 0.025000 overage, v1",
    );
}

#[test]
fn beyond_a_blocking_plans_allowance_a_call_made_all_the_same_is_charged() {
    check_plans(
        "now 2026-03-10T12:00:00Z
        subscribe blocking -> new
        tick 1 hours
        call 61s to +15551230001 -> 60 of 60 + 60 at 0.018000 = 0.018000 overage, v1
        call 62s to +15551230001 -> 0 of 0 + 120 at 0.018000 = 0.036000 overage, v1",
    );
}

#[test]
fn the_allowance_pays_for_any_destination_whatever_its_rate() {
    check_plans(
        "now 2026-03-10T12:00:00Z
        subscribe starter -> new
        tick 1 hours
        call 58s to +33123 -> 60 of 120 + 0 at 0.025000 +33 = 0.000000 overage, v1
        call 61s to +33123 -> 60 of 60 + 60 at 0.025000 +33 = 0.025000 overage, v1",
    );
}
