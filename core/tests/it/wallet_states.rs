//! The available amount, the wallet's state, and overshoot.

use callmeter_core::domain::{
    AccountStatus, Money, MoneyError, WalletState, available, balance_after, low_threshold,
    overshoot, wallet_state,
};
use proptest::prelude::*;

fn dollars(text: &str) -> Money {
    Money::parse(text).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn available_is_balance_and_credit_limit_less_held() {
    let of = |[balance, limit, held]: [&str; 3]| {
        available(dollars(balance), dollars(limit), dollars(held))
    };
    assert_eq!(of(["10", "0", "0"]), Ok(dollars("10")));
    assert_eq!(of(["10", "5", "2.5"]), Ok(dollars("12.5")));
    assert_eq!(of(["-1", "0", "0.25"]), Ok(dollars("-1.25")));
    let most = "9223372036854.775807";
    assert_eq!(of([most, most, most]), Ok(dollars(most)));
    assert_eq!(of([most, "0.000001", "0"]), Err(MoneyError::Overflow));
}

#[test]
fn no_change_takes_a_wallet_further_out_of_its_range() {
    const MOST: &str = "9007199254.740991";
    for (before, change, limit, after) in [
        ("1", "-3.5", "0", Some("-2.5")),
        ("0", MOST, "0", Some(MOST)),
        (MOST, "0.000001", "0", None),
        ("0", MOST, "0.000001", None),
        ("-1", MOST, "1", Some("9007199253.740991")),
        ("-9007199254.740990", "-0.000001", "0", Some("-9007199254.740991")),
        ("-9007199254.740991", "-0.000001", "5", None),
        // Already out of range: may only move closer to it.
        ("-9300000000", "100", "0", Some("-9299999900")),
        ("-9300000000", "-0.000001", "0", None),
        ("-9300000000", "0", "0", Some("-9300000000")),
        ("9300000000", "-1", "0", Some("9299999999")),
        ("9300000000", "0.000001", "0", None),
        ("-9300000000", "18700000000", "0", None),
        ("-9223372036854.775807", "-1", "0", None),
    ] {
        let found = balance_after(dollars(before), dollars(change), dollars(limit));
        assert_eq!(found, after.map(dollars), "{before} {change}, limit {limit}");
    }
}

#[test]
fn the_state_is_the_most_severe_word_that_applies() {
    use AccountStatus::{Closed, Open};
    for (status, allowance_left, available, threshold, state) in [
        (Open, 0, "10.00", "5.00", WalletState::Active),
        (Open, 0, "5.00", "5.00", WalletState::Active),
        (Open, 0, "4.999999", "5.00", WalletState::Low),
        (Open, 0, "0.000001", "5.00", WalletState::Low),
        (Open, 0, "0.000001", "0.00", WalletState::Active),
        (Open, 0, "0.00", "5.00", WalletState::Empty),
        (Open, 0, "-3.00", "5.00", WalletState::Empty),
        (Open, 0, "0.00", "0.00", WalletState::Empty),
        (Open, 1, "0.00", "5.00", WalletState::Low),
        (Open, 1, "-3.00", "5.00", WalletState::Low),
        (Open, 1, "0.00", "0.00", WalletState::Active),
        (Closed, 600, "10.00", "5.00", WalletState::Closed),
        (Closed, 0, "-3.00", "5.00", WalletState::Closed),
    ] {
        let actual = wallet_state(status, allowance_left, dollars(available), dollars(threshold));
        assert_eq!(actual, state, "{status}, {allowance_left} s, {available}, {threshold}");
    }
}

#[test]
fn the_highest_alert_threshold_decides_low_and_else_the_setting() {
    let thresholds = ["5", "20", "10"].map(dollars);
    assert_eq!(low_threshold(&thresholds, dollars("50")), dollars("20"));
    assert_eq!(low_threshold(&[], dollars("50")), dollars("50"));
}

#[test]
fn overshoot_is_how_far_a_debit_goes_beyond_the_credit_limit() {
    for (before, after, limit, beyond) in [
        ("10.00", "1.00", "0", "0"),
        ("1.00", "0.00", "0", "0"),
        ("1.00", "-0.25", "0", "0.25"),
        ("-0.25", "-1.00", "0", "0.75"),
        ("1.00", "-4.00", "5", "0"),
        ("1.00", "-7.00", "5", "2.00"),
        ("-6.00", "-7.00", "5", "1.00"),
        ("-1.00", "5.00", "0", "0"),
        ("-5.00", "-1.00", "0", "0"),
    ] {
        let actual = overshoot(dollars(before), dollars(after), dollars(limit));
        assert_eq!(actual, dollars(beyond), "{before} to {after} with limit {limit}");
    }
}

proptest! {
    #[test]
    fn the_overshoots_of_debits_add_up_to_where_the_balance_ended(
        start in -50_000_000..50_000_000_i64,
        limit in 0..20_000_000_i64,
        debits in prop::collection::vec(0..9_000_000_i64, 0..20),
    ) {
        let limit_money = Money::from_micros(limit);
        let mut balance = start;
        let mut total = 0;
        for debit in debits {
            let [before, after] = [balance, balance - debit].map(Money::from_micros);
            total += overshoot(before, after, limit_money).micros();
            balance -= debit;
        }
        let beyond = |balance: i64| (-(balance + limit)).max(0);
        prop_assert_eq!(total, beyond(balance) - beyond(start));
    }
}
