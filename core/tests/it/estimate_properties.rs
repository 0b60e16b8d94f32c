//! Properties of every estimate.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use callmeter_core::domain::{
    Call, CallSid, Increments, Money, Prefix, PrefixRate, RateDeck, RatePerMinute, Share,
    ShareError, ZeroDurationCompleted, rounded_decimal,
};
use callmeter_core::rating::estimate::scaled_seconds;
use callmeter_core::rating::{Campaign, Estimate, Sample, Terms, estimate, rate, suggested_refill};
use chrono::DateTime;
use proptest::prelude::*;

use crate::rating_properties::{increments, plan, rates, terms};

const ZERO: ZeroDurationCompleted = ZeroDurationCompleted::Minimum;

fn call(seconds: u32, to: &str) -> Call {
    Call {
        call_sid: CallSid::parse("CA0001").expect("a call SID"),
        parent_call_sid: None,
        from: None,
        to: Some(to.into()),
        direction: None,
        ended_at: DateTime::UNIX_EPOCH,
        seconds,
        twilio_minutes: None,
        tag: None,
    }
}

fn calls_of(lengths: &[u32]) -> Vec<Call> {
    lengths.iter().map(|seconds| call(*seconds, "+1")).collect()
}

fn number(calls: usize) -> NonZeroU32 {
    u32::try_from(calls).ok().and_then(NonZeroU32::new).expect("some calls")
}

fn sample(calls: &[Call], terms: &Terms<'_>) -> Sample {
    Sample::of_calls(calls, terms, ZERO).expect("a price").expect("there are calls")
}

fn estimated(sample: &Sample, calls: usize, answered: Share, allowance_seconds: u64) -> Estimate {
    let campaign = Campaign { calls: number(calls), answered, allowance_seconds };
    estimate(sample, &campaign).expect("a cost within the range of amounts")
}

/// What rating really charges for the calls, one after the other.
fn charged(calls: &[Call], terms: &Terms<'_>) -> (u64, Money) {
    let (mut used, mut billed, mut paid) = (0, 0, Money::ZERO);
    for call in calls {
        let price = rate(call, terms, used, ZERO).expect("a price");
        used += u64::from(price.allowance_seconds);
        billed += u64::from(price.billed_seconds);
        paid = paid.checked_add(price.amount).expect("within the range");
    }
    (billed, paid)
}

fn assert_holds(estimate: &Estimate, (billed, paid): (u64, Money)) {
    let (seconds, cost) = (estimate.billed_seconds, estimate.cost);
    assert!((seconds.low..=seconds.high).contains(&billed), "{billed} s: {estimate:?}");
    assert!((cost.low..=cost.high).contains(&paid), "{paid}: {estimate:?}");
}

fn lengths() -> impl Strategy<Value = Vec<u32>> {
    let length = prop_oneof![0..=600_u32, Just(60), Just(61), 0..=86_400_u32];
    prop::collection::vec(length, 1..=300)
}

fn shares() -> impl Strategy<Value = Share> {
    let some = 0..=Share::PARTS;
    prop_oneof![Just(Share::PARTS), some]
        .prop_map(|parts| Share::from_millionths(parts).expect("within the whole"))
}

proptest! {
    #[test]
    fn a_month_of_real_calls_lies_within_its_own_estimate(
        lengths in lengths(), increments in increments(), rate in rates(), left in 0..=100_000_u64
    ) {
        let (calls, plan) = (calls_of(&lengths), plan(rate, increments));
        let terms = terms(&plan, left);
        let estimate = estimated(&sample(&calls, &terms), calls.len(), Share::ALL, left);
        let real = charged(&calls, &terms);
        assert_holds(&estimate, real);
        prop_assert_eq!(estimate.billed_seconds.expected, real.0);
        prop_assert_eq!(estimate.allowance_seconds, left.min(real.0));
        prop_assert_eq!(estimate.rate, rate);
    }

    #[test]
    fn without_an_allowance_the_expected_cost_of_real_calls_is_their_sum_whatever_their_rates(
        lengths in lengths(), abroad in prop::collection::vec(any::<bool>(), 300),
        increments in increments(), rates in (rates(), rates())
    ) {
        let prefix = Prefix::parse("+44").expect("a prefix");
        let deck = BTreeMap::from([(prefix, PrefixRate::PerMinute(rates.1))]);
        let mut plan = plan(rates.0, increments);
        plan.tariff.deck = RateDeck::new(rates.0, deck);
        let terms = terms(&plan, 0);
        let to = |is_abroad: &bool| if *is_abroad { "+442071838750" } else { "+12125550123" };
        let ends = lengths.iter().zip(&abroad);
        let calls: Vec<Call> = ends.map(|(seconds, abroad)| call(*seconds, to(abroad))).collect();
        let estimate = estimated(&sample(&calls, &terms), calls.len(), Share::ALL, 0);
        prop_assert_eq!(estimate.cost.expected, charged(&calls, &terms).1);
        assert_holds(&estimate, charged(&calls, &terms));
        prop_assert!((rates.0.min(rates.1)..=rates.0.max(rates.1)).contains(&estimate.rate));
    }

    #[test]
    fn whatever_the_lengths_calls_lie_within_the_range_of_their_average_alone(
        lengths in lengths(), increments in increments(), rate in rates(), left in 0..=100_000_u64
    ) {
        let (calls, plan) = (calls_of(&lengths), plan(rate, increments));
        let terms = terms(&plan, left);
        let total: u64 = lengths.iter().map(|seconds| u64::from(*seconds)).sum();
        let average = total * 1_000 / lengths.len() as u64;
        let sample = Sample::of_average(&call(0, "+1"), average, &terms, ZERO);
        let sample = sample.expect("a price").expect("a sample");
        let estimate = estimated(&sample, calls.len(), Share::ALL, left);
        assert_holds(&estimate, charged(&calls, &terms));
    }

    #[test]
    fn a_range_holds_its_expectation_and_more_calls_never_cost_less(
        lengths in lengths(), increments in increments(), rate in rates(), left in 0..=100_000_u64,
        count in 1..=2_000_usize, more in 1..=2_000_usize, answered in shares()
    ) {
        let (calls, plan) = (calls_of(&lengths), plan(rate, increments));
        let terms = terms(&plan, left);
        let sample = sample(&calls, &terms);
        let of = |count| estimated(&sample, count, answered, left);
        let (few, many) = (of(count), of(count + more));
        for estimate in [few, many] {
            let (seconds, cost) = (estimate.billed_seconds, estimate.cost);
            prop_assert!(seconds.low <= seconds.expected && seconds.expected <= seconds.high);
            prop_assert!(cost.low <= cost.expected && cost.expected <= cost.high);
            prop_assert!(!cost.low.is_negative());
            prop_assert!(estimate.allowance_seconds <= left.min(seconds.expected));
        }
        // Each figure is rounded by itself.
        let at_least = |one: Money, other: Money| one.micros() + 3 >= other.micros();
        prop_assert!(many.billed_seconds.expected >= few.billed_seconds.expected);
        prop_assert!(at_least(many.cost.expected, few.cost.expected), "{few:?} {many:?}");
        prop_assert!(at_least(many.cost.high, few.cost.high), "{few:?} {many:?}");
        let all = estimated(&sample, count, Share::ALL, left);
        prop_assert!(at_least(all.cost.expected, few.cost.expected));
        let none = Share::from_millionths(0).expect("none");
        let unanswered = estimated(&sample, count, none, left);
        prop_assert_eq!((unanswered.cost.high, unanswered.billed_seconds.high), (Money::ZERO, 0));
    }

    #[test]
    fn scaled_lengths_have_the_average_that_was_asked_for(
        lengths in lengths(), average in 1_000..=3_600_000_u64
    ) {
        let total: u64 = lengths.iter().map(|seconds| u64::from(*seconds)).sum();
        prop_assume!(total > 0);
        let count = number(lengths.len()).get();
        let scaled = |seconds: &u32| u64::from(scaled_seconds(*seconds, average, (total, count)));
        let sum: u64 = lengths.iter().map(scaled).sum();
        let (sum, asked) = (sum * 1_000, average * u64::from(count));
        prop_assert!(sum.abs_diff(asked) <= 500 * u64::from(count), "{sum} {asked}");
    }

    #[test]
    fn a_suggested_refill_covers_the_shortfall_in_steps_of_five_dollars(
        short in 1..=900_000_000_000_i64
    ) {
        let (minimum, most) = (Money::from_micros(12_340_000), Money::from_micros(999_999_990_000));
        let refill = suggested_refill(Money::from_micros(short), minimum, most);
        prop_assert!(refill.micros() >= short && refill >= minimum);
        prop_assert!(refill == minimum || refill.micros() - short < 5_000_000);
    }
}

#[test]
fn the_ranges_of_known_campaigns() {
    let rate = RatePerMinute::parse("0.014").expect("a rate");
    let plan = plan(rate, Increments::PER_MINUTE);
    let cost = |sample: &Sample, calls, answered, left| {
        let answered = Share::parse(answered).expect("a share");
        let cost = estimated(sample, calls, answered, left).cost;
        [cost.low, cost.expected, cost.high].map(|amount| amount.to_string())
    };
    let terms = terms(&plan, 6_000);
    // Every call is one minute: only their number varies.
    let even = sample(&calls_of(&[30, 45, 60]), &terms);
    assert_eq!(cost(&even, 100, "1", 0), ["1.400000"; 3]);
    // 100 × 0.5 × 0.014, ± 1.645 × 0.014 × √(100 × 0.5 × 0.5).
    assert_eq!(cost(&even, 100, "0.5", 0), ["0.584850", "0.700000", "0.815150"]);
    // 40 minutes of the plan are left.
    assert_eq!(cost(&even, 100, "1", 2_400), ["0.839999", "0.840000", "0.840001"]);
    assert_eq!(cost(&even, 100, "1", 6_000), ["0.000000"; 3]);
    // An average of 112 seconds: 144 billed on average; at least 112, at most 172.
    let average = Sample::of_average(&call(0, "+1"), 112_000, &terms, ZERO);
    let average = average.expect("a price").expect("a sample");
    let [low, expected, high] = cost(&average, 10_000, "1", 0);
    assert_eq!(expected, "336.000000");
    let [low, high] = [low, high].map(|text| Money::parse(&text).expect("an amount").micros());
    assert!((255_000_000..261_320_000).contains(&low), "{low}");
    assert!((401_340_000..408_000_000).contains(&high), "{high}");
}

#[test]
fn a_share_is_read_from_a_decimal_and_written_back() {
    for (text, written) in [
        ("0", "0"),
        ("1", "1"),
        ("1.0", "1"),
        ("0.38", "0.38"),
        ("0.3829787234042553", "0.382979"),
        ("0.0000004", "0"),
        ("0.9999999", "1"),
    ] {
        let share = Share::parse(text).map(|share| share.to_string());
        assert_eq!(share.as_deref(), Ok(written), "{text}");
    }
    for text in ["", ".", "1.", ".5", "-0.1", "+1", "1.1", "2", "1e-3", "0,5", "half", "１"] {
        assert_eq!(Share::parse(text), Err(ShareError), "{text}");
    }
    assert_eq!(Share::parse("0.38").expect("a share").of(8_000), 3_040);
    assert_eq!(rounded_decimal("112.3456", 3), Some(112_346));
    assert_eq!(rounded_decimal("99999999999999999999", 0), None);
    assert_eq!(suggested_refill(Money::ZERO, Money::ZERO, Money::ZERO), Money::ZERO);
}
