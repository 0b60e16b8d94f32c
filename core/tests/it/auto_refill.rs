//! Auto-refill: when a card is charged, and how much.

use callmeter_core::domain::{DeclineClass, Money};
use callmeter_core::policy::auto_refill::{
    AfterDecline, AutoRefillDecision, AutoRefillFacts, AutoRefillLimits, AutoRefillTerms,
    RefillSize, after_decline, decide, next_month,
};
use callmeter_core::policy::decline;
use chrono::{DateTime, TimeDelta, Utc};

fn money(text: &str) -> Money {
    Money::parse(text).expect("an amount")
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("a time")
}

fn limits() -> AutoRefillLimits {
    AutoRefillLimits {
        minimum: money("10"),
        maximum: money("999999.99"),
        burst_max: 3,
        burst: TimeDelta::minutes(10),
        backoff: TimeDelta::hours(1),
    }
}

fn terms(size: RefillSize) -> AutoRefillTerms {
    AutoRefillTerms { threshold: money("20"), size, monthly_cap: Some(money("500")) }
}

fn facts(balance: &str) -> AutoRefillFacts {
    AutoRefillFacts {
        balance: Money::parse(balance.trim_start_matches('-')).map_or(Money::ZERO, |it| {
            if balance.starts_with('-') { Money::from_micros(-it.micros()) } else { it }
        }),
        is_in_flight: false,
        this_month: Money::ZERO,
        begun_lately: 0,
        first_lately_at: None,
        retry_at: None,
    }
}

#[test]
fn a_balance_below_the_threshold_is_refilled_by_amount_or_up_to_a_target() {
    let now = at("2026-11-29T12:00:00Z");
    let fixed = terms(RefillSize::Amount(money("50")));
    let target = terms(RefillSize::Target(money("60")));
    let table = [
        (fixed, "20", AutoRefillDecision::Enough),
        (fixed, "19.999999", AutoRefillDecision::Refill(money("50"))),
        (target, "19.999999", AutoRefillDecision::Refill(money("40.01"))),
        (target, "-0.000001", AutoRefillDecision::Refill(money("60.01"))),
        (terms(RefillSize::Target(money("21"))), "19", AutoRefillDecision::Refill(money("10"))),
    ];
    for (terms, balance, expected) in table {
        assert_eq!(decide(&terms, &limits(), &facts(balance), now), expected, "{balance}");
    }
}

#[test]
fn one_at_a_time_with_pauses_and_caps() {
    let now = at("2026-12-31T23:00:00Z");
    let fixed = terms(RefillSize::Amount(money("50")));
    let low = facts("1");
    let in_flight = AutoRefillFacts { is_in_flight: true, ..low };
    assert_eq!(decide(&fixed, &limits(), &in_flight, now), AutoRefillDecision::InFlight);
    let later = now + TimeDelta::seconds(1);
    let backing_off = AutoRefillFacts { retry_at: Some(later), ..low };
    let decided = decide(&fixed, &limits(), &backing_off, now);
    assert_eq!(decided, AutoRefillDecision::BackingOff(later));
    let over = AutoRefillFacts { retry_at: Some(now), ..low };
    assert_eq!(decide(&fixed, &limits(), &over, now), AutoRefillDecision::Refill(money("50")));
    let first = now - TimeDelta::minutes(4);
    let burst = AutoRefillFacts { begun_lately: 3, first_lately_at: Some(first), ..low };
    let decided = decide(&fixed, &limits(), &burst, now);
    assert_eq!(decided, AutoRefillDecision::BackingOff(now + TimeDelta::minutes(6)));
    let next = at("2027-01-01T00:00:00Z");
    assert_eq!(next_month(now), next);
    for (this_month, expected) in [
        ("450", AutoRefillDecision::Refill(money("50"))),
        ("450.01", AutoRefillDecision::Capped(next)),
    ] {
        let facts = AutoRefillFacts { this_month: money(this_month), ..low };
        assert_eq!(decide(&fixed, &limits(), &facts, now), expected, "{this_month}");
    }
    let free = AutoRefillTerms { monthly_cap: None, ..fixed };
    let facts = AutoRefillFacts { this_month: money("90000"), ..low };
    assert_eq!(decide(&free, &limits(), &facts, now), AutoRefillDecision::Refill(money("50")));
}

#[test]
fn soft_declines_wait_longer_each_time_and_hard_ones_switch_off() {
    let now = at("2026-11-29T12:00:00Z");
    let begun = now - TimeDelta::minutes(1);
    let after = |code: &str, count| {
        after_decline(
            &decline(Some(code), Some("card_declined")),
            count,
            begun,
            TimeDelta::hours(1),
            now,
        )
    };
    for (count, hours) in [(1, 1), (2, 2), (3, 4), (4, 8)] {
        let expected = AfterDecline::Later(now + TimeDelta::hours(hours));
        assert_eq!(after("insufficient_funds", count), expected, "{count}");
    }
    let refused = AfterDecline::Off("card_refused".to_owned());
    assert_eq!(after("insufficient_funds", 5), refused);
    for hidden in ["stolen_card", "lost_card", "fraudulent"] {
        assert_eq!(after(hidden, 1), refused, "{hidden}");
    }
    for hard in ["expired_card", "do_not_try_again", "card_not_supported", "incorrect_cvc"] {
        assert_eq!(after(hard, 1), AfterDecline::Off(hard.to_owned()), "{hard}");
    }
    let confirms = decline(None, Some("authentication_required"));
    assert_eq!(confirms.class, DeclineClass::OnSession);
    let later = after_decline(&confirms, 1, begun, TimeDelta::hours(1), now);
    assert_eq!(later, AfterDecline::Later(begun + TimeDelta::hours(24)));
}
