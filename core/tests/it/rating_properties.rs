//! What holds for every price.

use std::collections::BTreeMap;

use callmeter_core::domain::{
    Call, CallSid, Catalog, CatalogVersion, Cycle, Increments, Legs, Money, Overage, Plan, PlanId,
    RateDeck, RatePerMinute, SubscriptionId, Tariff, TransactionKind, ZeroDurationCompleted,
};
use callmeter_core::rating::{Price, Terms, rate};
use chrono::{DateTime, TimeDelta};
use proptest::prelude::*;

pub(crate) fn increments() -> impl Strategy<Value = Increments> {
    let usual = prop::sample::select(vec![(60, 60), (1, 1), (6, 6), (30, 6), (60, 1), (7, 11)]);
    prop_oneof![usual, (1..=3600_u32, 1..=3600_u32)]
        .prop_map(|(initial, increment)| Increments::new(initial, increment).expect("in range"))
}

pub(crate) fn rates() -> impl Strategy<Value = RatePerMinute> {
    prop_oneof![0..=100_i64, 0..=100_000_i64, 0..=Catalog::RATE_MAX.micros()]
        .prop_map(|micros| RatePerMinute::from_micros(micros).expect("zero or more"))
}

/// A plan with one rate for every destination.
pub(crate) fn plan(rate: RatePerMinute, increments: Increments) -> Plan {
    Plan {
        id: PlanId::parse("any").expect("a plan id"),
        name: "Any".to_owned(),
        monthly_fee: Money::ZERO,
        included_seconds: 0,
        tariff: Tariff { increments, deck: RateDeck::new(rate, BTreeMap::new()) },
        overage: Overage::Wallet,
        legs: Legs::Each,
    }
}

/// Terms whose cycle includes these seconds, whatever the plan itself says.
pub(crate) fn terms(plan: &Plan, included_seconds: u64) -> Terms<'_> {
    let start = DateTime::UNIX_EPOCH;
    Terms::Plan {
        version: CatalogVersion(1),
        plan,
        subscription: SubscriptionId(1),
        cycle: Cycle { start, end: start + TimeDelta::days(31) },
        included_seconds,
    }
}

pub(crate) fn price(terms: &Terms<'_>, used_seconds: u64, seconds: u32) -> Price {
    let call = Call {
        call_sid: CallSid::parse("CA0001").expect("a call SID"),
        parent_call_sid: None,
        from: None,
        to: None,
        direction: None,
        ended_at: DateTime::UNIX_EPOCH,
        seconds,
        twilio_minutes: None,
        tag: None,
    };
    rate(&call, terms, used_seconds, ZeroDurationCompleted::Minimum).expect("a price in range")
}

/// Charges calls in order against one cycle; returns (wallet seconds, amount in micro-dollars).
fn charge_all(terms: &Terms<'_>, lengths: &[u32]) -> (u64, i64) {
    let (mut used_seconds, mut wallet_seconds, mut micros) = (0, 0, 0);
    for seconds in lengths {
        let price = price(terms, used_seconds, *seconds);
        used_seconds += u64::from(price.allowance_seconds);
        wallet_seconds += u64::from(price.wallet_seconds);
        micros += price.amount.micros();
    }
    (wallet_seconds, micros)
}

/// Call lengths, and the same in another order.
fn two_orders() -> impl Strategy<Value = (Vec<u32>, Vec<u32>)> {
    let lengths = prop::collection::vec(0..=7200_u32, 1..30);
    lengths.prop_flat_map(|lengths| (Just(lengths.clone()), Just(lengths).prop_shuffle()))
}

proptest! {
    #[test]
    fn allowance_and_wallet_share_the_billed_time_and_nothing_is_lost(
        rate in rates(),
        increments in increments(),
        included in 0..=10_000_u64,
        used in 0..=12_000_u64,
        seconds in 0..=86_400_u32,
    ) {
        let plan = plan(rate, increments);
        let price = price(&terms(&plan, included), used, seconds);
        prop_assert_eq!(price.billed_seconds, increments.billed_seconds(seconds));
        prop_assert_eq!(price.allowance_seconds + price.wallet_seconds, price.billed_seconds);
        prop_assert_eq!(price.allowance_before_seconds, included.saturating_sub(used));
        prop_assert!(u64::from(price.allowance_seconds) <= price.allowance_before_seconds);
        // The wallet pays only once the allowance is used up.
        let exhausted = u64::from(price.allowance_seconds) == price.allowance_before_seconds;
        prop_assert!(price.wallet_seconds == 0 || exhausted);
        prop_assert_eq!(Ok(price.amount), rate.price(price.wallet_seconds));
        prop_assert_eq!(price.kind, TransactionKind::Overage);
    }

    #[test]
    fn a_longer_call_never_costs_less(
        rate in rates(),
        increments in increments(),
        included in 0..=10_000_u64,
        one in 0..=86_400_u32,
        other in 0..=86_400_u32,
    ) {
        let plan = plan(rate, increments);
        let terms = terms(&plan, included);
        let [shorter, longer] =
            [one.min(other), one.max(other)].map(|seconds| price(&terms, 0, seconds));
        prop_assert!(shorter.amount <= longer.amount);
        prop_assert!(shorter.allowance_seconds <= longer.allowance_seconds);
    }

    #[test]
    fn more_allowance_never_makes_a_call_dearer(
        rate in rates(),
        increments in increments(),
        included in 0..=100_000_u64,
        used in 0..=100_000_u64,
        seconds in 0..=86_400_u32,
    ) {
        let plan = plan(rate, increments);
        let terms = terms(&plan, included);
        prop_assert!(price(&terms, 0, seconds).amount <= price(&terms, used, seconds).amount);
    }

    #[test]
    fn the_order_of_arrival_does_not_change_what_a_cycle_leaves_to_the_wallet(
        increments in increments(),
        included in 0..=100_000_u64,
        (one, other) in two_orders(),
    ) {
        let plan = plan(RatePerMinute::ZERO, increments);
        let terms = terms(&plan, included);
        let billed: u64 = one.iter().map(|s| u64::from(increments.billed_seconds(*s))).sum();
        let (wallet_seconds, _) = charge_all(&terms, &one);
        prop_assert_eq!(wallet_seconds, billed.saturating_sub(included));
        prop_assert_eq!(charge_all(&terms, &other).0, wallet_seconds);
    }

    #[test]
    fn with_whole_minutes_and_one_rate_the_order_of_arrival_does_not_change_a_cycles_total(
        rate in rates(),
        included_minutes in 0..=1000_u64,
        (one, other) in two_orders(),
    ) {
        let plan = plan(rate, Increments::PER_MINUTE);
        let terms = terms(&plan, included_minutes * 60);
        let (wallet_seconds, micros) = charge_all(&terms, &one);
        prop_assert_eq!(charge_all(&terms, &other), (wallet_seconds, micros));
        // Rounding never acted: the total is the exact product.
        let exact = i128::from(rate.micros()) * i128::from(wallet_seconds / 60);
        prop_assert_eq!(i128::from(micros), exact);
    }

    #[test]
    fn with_odd_increments_the_order_moves_a_total_by_less_than_a_micro_dollar_per_call(
        rate in rates(),
        increments in increments(),
        included in 0..=100_000_u64,
        (one, other) in two_orders(),
    ) {
        let plan = plan(rate, increments);
        let terms = terms(&plan, included);
        let ((_, one_total), (_, other_total)) =
            (charge_all(&terms, &one), charge_all(&terms, &other));
        let calls = i64::try_from(one.len()).expect("few calls");
        prop_assert!((one_total - other_total).abs() <= calls, "{one_total} {other_total}");
    }
}
