//! What a number of calls will cost: the expected cost, and a range around it.
//!
//! Place in the flow: before a campaign. The caller brings a sample of calls; each is priced by
//! [`rate`] under the terms of now, so that rounding to increments costs what it costs really.
//!
//! It must never price a call in another way than [`rate`], use a float, or promise a range that
//! leaves out what it does not know.
//!
//! # Formula
//! `n` calls, of which the share `p` is answered, each with a billed time (or a price) like those of
//! a sample of `m` with mean `μ` and variance `σ²`:
//!
//! ```text
//! expected = n p μ
//! variance = n (p σ² + p (1 − p) μ²)      each call is answered or not, and short or long
//!          + n² p² σ² / m                 the sample's own error
//! range    = expected ± 1.645 × √variance 9 of 10 campaigns like it
//! ```
//!
//! The price is first summed as if the wallet paid all; the share of the billed time that the
//! allowance does not cover is what the wallet pays.
//!
//! Where only an average length is known, nothing is known of how lengths spread. The expected cost
//! then assumes that they fall off exponentially, as lengths of calls do. The range goes further: no
//! spread with this average is billed less than the average itself, nor more than the average and a
//! whole increment for each call.

use std::num::NonZeroU32;

use super::price::rate;
use super::terms::{RatingError, Terms};
use crate::domain::call::Call;
use crate::domain::increments::ZeroDurationCompleted;
use crate::domain::money::{Money, MoneyError};
use crate::domain::rate::RatePerMinute;
use crate::domain::rounding::divide_half_away_from_zero;
use crate::domain::share::Share;

/// Standard deviations on either side that hold 9 of 10 outcomes, in thousandths.
const DEVIATIONS: u128 = 1_645;
const THOUSAND: u128 = 1_000;
/// The parts of an answered share.
const PARTS: u128 = Share::PARTS as u128;
/// A refill is suggested in steps of five dollars.
const REFILL_STEP: i64 = 5_000_000;

/// Lengths of an exponential distribution: the mean of each twentieth, in thousandths of the mean of
/// all.
const EXPONENTIAL: [u64; 20] = [
    25, 78, 134, 193, 255, 322, 393, 470, 554, 645, 745, 856, 982, 1_125, 1_292, 1_494, 1_746,
    2_086, 2_609, 3_996,
];

/// Sums over priced calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sums {
    sum: u128,
    squares: u128,
}

impl Sums {
    fn add(&mut self, value: u128) {
        self.sum += value;
        self.squares = self.squares.saturating_add(value.saturating_mul(value));
    }
}

/// What the mean of one call is at least and at most, where a sample does not tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bounds {
    low: u128,
    high: u128,
}

/// Answered calls like those to come, priced as if the wallet paid them all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    calls: u32,
    billed: Sums,
    price: Sums,
    /// The sum of rate × billed seconds.
    rates: u128,
    /// The rate of the first call.
    rate: RatePerMinute,
    /// Bounds of billed seconds and of the price; `None`: these are real calls.
    bounds: Option<(Bounds, Bounds)>,
}

impl Sample {
    /// Prices calls under the terms of now; `None`: there are none.
    ///
    /// # Errors
    /// As [`rate`].
    pub fn of_calls<'a>(
        calls: impl IntoIterator<Item = &'a Call>,
        terms: &Terms<'_>,
        zero_duration: ZeroDurationCompleted,
    ) -> Result<Option<Self>, RatingError> {
        let mut sample: Option<Self> = None;
        for call in calls {
            // All of the allowance is used: the wallet pays the whole call.
            let price = rate(call, terms, u64::MAX, zero_duration)?;
            let into = sample.get_or_insert(Self {
                calls: 0,
                billed: Sums::default(),
                price: Sums::default(),
                rates: 0,
                rate: price.rate,
                bounds: None,
            });
            into.calls = into.calls.saturating_add(1);
            into.billed.add(u128::from(price.billed_seconds));
            into.price.add(micros(price.amount));
            into.rates += micros(price.rate.per_minute()) * u128::from(price.billed_seconds);
        }
        Ok(sample)
    }

    /// Calls to one number of which only the average length is known, in milliseconds.
    ///
    /// # Errors
    /// As [`rate`].
    pub fn of_average(
        to: &Call,
        average_milliseconds: u64,
        terms: &Terms<'_>,
        zero_duration: ZeroDurationCompleted,
    ) -> Result<Option<Self>, RatingError> {
        let calls = EXPONENTIAL.map(|share| {
            let seconds = (share * average_milliseconds + 500_000) / 1_000_000;
            Call { seconds: u32::try_from(seconds).unwrap_or(u32::MAX), ..to.clone() }
        });
        let Some(sample) = Self::of_calls(&calls, terms, zero_duration)? else { return Ok(None) };
        let increments = terms.tariff().increments;
        let least = match zero_duration {
            ZeroDurationCompleted::Minimum => u64::from(increments.initial()),
            ZeroDurationCompleted::Free => 0,
        };
        let step = u64::from(increments.initial().max(increments.increment()));
        let low = (average_milliseconds / 1_000).max(least);
        let high = average_milliseconds.div_ceil(1_000) + step;
        let billed = Bounds { low: u128::from(low), high: u128::from(high) };
        let per_minute = micros(sample.rate.per_minute());
        // Each call's price is rounded to a micro-dollar.
        let price = Bounds {
            low: (per_minute * billed.low / 60).saturating_sub(1),
            high: (per_minute * billed.high).div_ceil(60) + 1,
        };
        Ok(Some(Self { bounds: Some((billed, price)), ..sample }))
    }

    /// The rate of a minute, on average over the billed time.
    fn average_rate(&self) -> RatePerMinute {
        let average = i128::try_from(self.rates).ok().zip(i128::try_from(self.billed.sum).ok());
        let average = average.filter(|(_, billed)| *billed > 0);
        let micros = average.map(|(rates, billed)| divide_half_away_from_zero(rates, billed));
        let rate = micros.and_then(|micros| i64::try_from(micros).ok());
        rate.and_then(|micros| RatePerMinute::from_micros(micros).ok()).unwrap_or(self.rate)
    }
}

/// Scales a length from one average to another: `seconds × average ÷ (total ÷ calls)`, rounded to
/// whole seconds. A total of zero changes nothing.
pub fn scaled_seconds(seconds: u32, average_milliseconds: u64, (total, calls): (u64, u32)) -> u32 {
    let numerator = u128::from(seconds) * u128::from(average_milliseconds) * u128::from(calls);
    let denominator = THOUSAND * u128::from(total);
    let Some(scaled) = (numerator + denominator / 2).checked_div(denominator) else {
        return seconds;
    };
    u32::try_from(scaled).unwrap_or(u32::MAX)
}

/// The calls to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Campaign {
    /// Calls to place.
    pub calls: NonZeroU32,
    /// The share of them that is answered, and so charged.
    pub answered: Share,
    /// Seconds of the cycle's allowance neither used nor held.
    pub allowance_seconds: u64,
}

/// The expected value, and what 9 of 10 campaigns stay within.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words say it")]
pub struct Range<T> {
    pub low: T,
    pub expected: T,
    pub high: T,
}

/// What a campaign will use and cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Estimate {
    /// Calls that are answered, rounded to the nearest.
    pub answered_calls: u64,
    /// Billed seconds, those of the allowance included.
    pub billed_seconds: Range<u64>,
    /// Expected seconds that the allowance pays.
    pub allowance_seconds: u64,
    /// What the wallet pays.
    pub cost: Range<Money>,
    /// The rate of a minute that the wallet pays, on average.
    pub rate: RatePerMinute,
}

/// Estimates what a campaign will cost, with calls like those of the sample.
///
/// # Errors
/// [`MoneyError::Overflow`] beyond 64 bits of micro-dollars.
pub fn estimate(sample: &Sample, campaign: &Campaign) -> Result<Estimate, MoneyError> {
    let (billed_bounds, price_bounds) = sample.bounds.unzip();
    let billed = spread(sample, &sample.billed, billed_bounds, campaign);
    let price = spread(sample, &sample.price, price_bounds, campaign);
    let allowance = u128::from(campaign.allowance_seconds);
    let unpaid = |price: u128, billed: u128| match billed.checked_sub(allowance) {
        None | Some(0) => (0, 1),
        Some(_) if allowance == 0 => (price, 1),
        Some(beyond) => (price.saturating_mul(beyond), billed),
    };
    let is_split = campaign.allowance_seconds > 0;
    // The call that uses the allowance up is priced once, for the rest of it: a micro-dollar.
    let slack = u128::from(is_split);
    let (numerator, denominator) = unpaid(price.low, billed.low);
    let low = (numerator / denominator).saturating_sub(slack);
    let (numerator, denominator) = unpaid(price.expected, billed.expected);
    let expected = (numerator.saturating_add(denominator / 2)) / denominator;
    let (numerator, denominator) = unpaid(price.high, billed.high);
    let high = if numerator == 0 { 0 } else { numerator.div_ceil(denominator) + slack };
    Ok(Estimate {
        answered_calls: campaign.answered.of(campaign.calls.get().into()),
        billed_seconds: Range {
            low: seconds(billed.low),
            expected: seconds(billed.expected),
            high: seconds(billed.high),
        },
        allowance_seconds: seconds(billed.expected.min(allowance)),
        cost: Range {
            low: money(low.min(expected))?,
            expected: money(expected)?,
            high: money(high.max(expected))?,
        },
        rate: sample.average_rate(),
    })
}

/// Sums one value over the campaign's calls.
fn spread(
    sample: &Sample,
    sums: &Sums,
    bounds: Option<Bounds>,
    campaign: &Campaign,
) -> Range<u128> {
    let (m, n) = (u128::from(sample.calls), u128::from(campaign.calls.get()));
    let p = u128::from(campaign.answered.millionths());
    let Sums { sum, squares } = *sums;
    let mean_square = sum.saturating_mul(sum).div_ceil(m * m);
    let deviations = m.saturating_mul(squares).saturating_sub(sum.saturating_mul(sum));
    let pairs = (m * (m - 1)).max(1);
    let variance = deviations.div_ceil(pairs);
    let of_a_call = variance
        .saturating_mul(p)
        .div_ceil(PARTS)
        .saturating_add(mean_square.saturating_mul(p * (PARTS - p)).div_ceil(PARTS * PARTS));
    let of_the_sample = match bounds {
        None => variance.saturating_mul(p * p).div_ceil(PARTS * PARTS * m),
        // The bounds say what is not known.
        Some(_) => 0,
    };
    let of_a_call_and_all = of_a_call.saturating_add(n.saturating_mul(of_the_sample));
    let deviation = root(n.saturating_mul(of_a_call_and_all));
    let margin = deviation.saturating_mul(DEVIATIONS).div_ceil(THOUSAND);
    let (total, parts) = (n.saturating_mul(p).saturating_mul(sum), PARTS * m);
    let expected = total.saturating_add(parts / 2) / parts;
    let (least, most) = match bounds {
        None => (total / parts, total.div_ceil(parts)),
        Some(bounds) => {
            ((n * p * bounds.low) / PARTS, (n * p).saturating_mul(bounds.high).div_ceil(PARTS))
        }
    };
    Range {
        low: least.saturating_sub(margin).min(expected),
        expected,
        high: most.saturating_add(margin).max(expected),
    }
}

/// The square root, rounded up.
fn root(square: u128) -> u128 {
    let root = square.isqrt();
    if root * root < square { root + 1 } else { root }
}

fn micros(amount: Money) -> u128 {
    u128::try_from(amount.micros()).unwrap_or(0)
}

fn money(micros: u128) -> Result<Money, MoneyError> {
    i128::try_from(micros).map_err(|_| MoneyError::Overflow).and_then(Money::try_from_wide)
}

fn seconds(seconds: u128) -> u64 {
    u64::try_from(seconds).unwrap_or(u64::MAX)
}

/// Returns the refill to suggest where money is missing: the shortfall rounded up to the next five
/// dollars, at least the minimum of a refill; zero if nothing is missing.
pub fn suggested_refill(shortfall: Money, minimum: Money, maximum: Money) -> Money {
    if !shortfall.is_positive() {
        return Money::ZERO;
    }
    let steps = |micros: i64| micros / REFILL_STEP;
    let up = steps(shortfall.micros().saturating_add(REFILL_STEP - 1));
    let most = steps(maximum.micros());
    Money::from_micros(up.min(most).saturating_mul(REFILL_STEP)).max(minimum)
}
