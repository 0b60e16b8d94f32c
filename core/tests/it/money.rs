//! Money, rates and the single rounding.

use callmeter_core::domain::{Money, MoneyError, RatePerMinute, divide_half_away_from_zero};
use proptest::prelude::*;
use serde::de::IntoDeserializer;
use serde::de::value::{Error as ValueError, F64Deserializer, I64Deserializer, StrDeserializer};
use serde::{Deserialize, de::value};

#[test]
fn amounts_are_read_to_the_micro_dollar_and_written_with_six_places() {
    for (text, micros, written) in [
        ("0", 0, "0.000000"),
        ("-0", 0, "0.000000"),
        ("10", 10_000_000, "10.000000"),
        ("007", 7_000_000, "7.000000"),
        ("0.014", 14_000, "0.014000"),
        ("0.000001", 1, "0.000001"),
        ("-0.000001", -1, "-0.000001"),
        ("-1.5", -1_500_000, "-1.500000"),
        ("0.1", 100_000, "0.100000"),
        ("9223372036854.775807", i64::MAX, "9223372036854.775807"),
        ("-9223372036854.775808", i64::MIN, "-9223372036854.775808"),
    ] {
        let amount = Money::parse(text).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(amount.micros(), micros, "{text}");
        assert_eq!(amount.to_string(), written);
        assert_eq!(text.parse(), Ok(amount));
    }
}

#[test]
fn amounts_stand_in_columns() {
    for (text, column) in [("0.5", "    0.500000"), ("-1.5", "   -1.500000")] {
        let amount = Money::parse(text).expect("an amount");
        assert_eq!(format!("{amount:>12}"), column);
    }
}

#[test]
fn what_is_no_amount_is_refused() {
    for text in [
        "", "-", ".", ".5", "5.", "-.5", "+1", " 1", "1 ", "1,000", "1_000", "1e3", "0x1", "--1",
        "1.-5", "1.2.3", "NaN", "inf", "٣", "１", "1.٣", "$1",
    ] {
        let refused = Money::parse(text);
        assert!(matches!(refused, Err(MoneyError::NotAnAmount { .. })), "{text:?}: {refused:?}");
    }
}

#[test]
fn an_amount_finer_than_a_micro_dollar_is_refused_even_where_it_is_zeros() {
    for text in ["0.0000001", "1.0000000", "-0.1234567"] {
        let refused = Money::parse(text);
        assert!(matches!(refused, Err(MoneyError::TooPrecise { .. })), "{text:?}: {refused:?}");
    }
}

#[test]
fn an_amount_beyond_64_bits_is_refused() {
    let hundred_digits = "9".repeat(100);
    for text in ["9223372036854.775808", "-9223372036854.775809", "10000000000000", &hundred_digits]
    {
        let refused = Money::parse(text);
        assert!(matches!(refused, Err(MoneyError::OutOfRange { .. })), "{text:?}: {refused:?}");
    }
}

#[test]
fn an_error_repeats_only_the_beginning_of_a_long_text() {
    let error = Money::parse(&"é".repeat(10_000)).expect_err("no amount").to_string();
    assert!(error.contains('é') && error.len() < 200, "{error}");
}

#[test]
fn arithmetic_beyond_64_bits_answers_none() {
    let (most, least) = (Money::from_micros(i64::MAX), Money::from_micros(i64::MIN));
    let one = Money::from_micros(1);
    assert_eq!(most.checked_add(one), None);
    assert_eq!(least.checked_sub(one), None);
    assert_eq!(least.checked_neg(), None);
    assert_eq!(most.checked_sub(one), Some(Money::from_micros(i64::MAX - 1)));
    assert_eq!(least.checked_add(one).and_then(Money::checked_neg), Some(most));
    assert!(one.is_positive() && !one.is_negative() && !one.is_zero());
    assert!(least.is_negative() && !least.is_positive() && !least.is_zero());
    assert!(Money::ZERO.is_zero() && !Money::ZERO.is_positive() && !Money::ZERO.is_negative());
}

#[test]
fn an_amount_is_taken_from_a_string_only() {
    let text: StrDeserializer<'_, ValueError> = "0.014000".into_deserializer();
    assert_eq!(Money::deserialize(text), Ok(Money::from_micros(14_000)));

    let whole: I64Deserializer<ValueError> = 10_i64.into_deserializer();
    let fraction: F64Deserializer<ValueError> = 0.014_f64.into_deserializer();
    for refused in [Money::deserialize(whole), Money::deserialize(fraction)] {
        let error = refused.expect_err("a number is no amount").to_string();
        assert!(error.contains("as a string such as \"0.014000\""), "{error}");
    }

    let negative: value::StrDeserializer<'_, ValueError> = "-0.01".into_deserializer();
    let error = RatePerMinute::deserialize(negative).expect_err("below zero").to_string();
    assert_eq!(error, "-0.010000 dollars is negative");
}

#[test]
fn an_amount_is_written_as_a_string() {
    #[derive(serde::Serialize)]
    struct Body {
        amount: Money,
        rate: RatePerMinute,
    }
    let rate = RatePerMinute::parse("0.0137").expect("a rate");
    let body = Body { amount: Money::from_micros(-1_500_000), rate };
    let written = toml::to_string(&body).expect("a body");
    assert_eq!(written, "amount = \"-1.500000\"\nrate = \"0.013700\"\n");
}

#[test]
fn a_rate_is_never_negative() {
    let negative = MoneyError::Negative { amount: Money::from_micros(-1) };
    assert_eq!(RatePerMinute::parse("-0.000001"), Err(negative.clone()));
    assert_eq!(RatePerMinute::from_micros(-1), Err(negative));
    assert_eq!(RatePerMinute::parse("-0").map(RatePerMinute::micros), Ok(0));
}

#[test]
fn a_price_beyond_64_bits_is_an_error_and_never_wraps() {
    let highest = RatePerMinute::from_micros(i64::MAX).expect("a rate");
    assert_eq!(highest.price(60), Ok(Money::from_micros(i64::MAX)));
    assert_eq!(highest.price(61), Err(MoneyError::Overflow));
    assert_eq!(highest.price(u32::MAX), Err(MoneyError::Overflow));
}

#[test]
fn halves_are_rounded_away_from_zero() {
    for (numerator, denominator, quotient) in [
        (5, 2, 3),
        (-5, 2, -3),
        (4, 3, 1),
        (-4, 3, -1),
        (89, 60, 1),
        (90, 60, 2),
        (91, 60, 2),
        (29, 60, 0),
        (30, 60, 1),
        (-30, 60, -1),
        (7, 5, 1),
        (8, 5, 2),
        (0, 60, 0),
        (i128::MAX, 1, i128::MAX),
        (i128::MIN, 1, i128::MIN),
        (i128::MAX, i128::MAX, 1),
        (i128::MAX / 2, i128::MAX, 0),
        (i128::MAX / 2 + 1, i128::MAX, 1),
        (i128::MIN, i128::MAX, -1),
    ] {
        let actual = divide_half_away_from_zero(numerator, denominator);
        assert_eq!(actual, quotient, "{numerator} / {denominator}");
    }
}

proptest! {
    #[test]
    fn an_amount_survives_being_written_and_read(micros in any::<i64>()) {
        let amount = Money::from_micros(micros);
        prop_assert_eq!(Money::parse(&amount.to_string()), Ok(amount));
    }

    #[test]
    fn reading_never_panics(text in ".*") {
        if let Ok(amount) = Money::parse(&text) {
            prop_assert_eq!(Money::parse(&amount.to_string()), Ok(amount));
        }
    }

    #[test]
    fn rounding_is_symmetric_and_at_most_half_off(
        numerator in -(1_i128 << 100)..(1_i128 << 100),
        denominator in 1..=10_000_i128,
    ) {
        let quotient = divide_half_away_from_zero(numerator, denominator);
        prop_assert_eq!(divide_half_away_from_zero(-numerator, denominator), -quotient);
        let off = 2 * (numerator - quotient * denominator);
        prop_assert!(off.abs() <= denominator, "off by {off} of {denominator} halves");
        // Exactly half: rounds away from zero.
        if off.abs() == denominator {
            prop_assert!((quotient * denominator).abs() > numerator.abs());
        }
    }

    #[test]
    fn whole_minutes_are_priced_without_rounding(
        micros in 0..=10_000_000_000_i64,
        minutes in 0..=1440_u32,
    ) {
        let rate = RatePerMinute::from_micros(micros).expect("a rate");
        let exact = Money::from_micros(micros * i64::from(minutes));
        prop_assert_eq!(rate.price(minutes * 60), Ok(exact));
    }
}
