//! Whether an account's card is charged now, and how much: auto-refill.
//!
//! Place in the flow: a row that takes the balance below the threshold makes the caller look. It
//! hands in what the ledger says under the wallet's lock, so that two processes make one refill.
//!
//! The facts must come from the ledger, never from a guard that expires: others charged a card every
//! few minutes.

use chrono::{DateTime, Datelike, NaiveDate, TimeDelta, Utc};

use super::Decline;
use crate::domain::{DeclineClass, Money};

/// Micro-dollars of a cent.
const MICROS_PER_CENT: i64 = 10_000;
/// Soft declines in a row after which auto-refill is switched off.
pub const SOFT_DECLINES_MAX: i32 = 5;

/// How much is refilled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefillSize {
    /// This amount.
    Amount(Money),
    /// As much as brings the balance to this, rounded up to cents.
    Target(Money),
}

/// What the account set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AutoRefillTerms {
    /// Refilled while the balance is below.
    pub threshold: Money,
    /// How much.
    pub size: RefillSize,
    /// The most in a UTC month; `None`: an administrator allowed any sum.
    pub monthly_cap: Option<Money>,
}

/// Limits from the settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AutoRefillLimits {
    /// The least amount of a refill.
    pub minimum: Money,
    /// The most amount of a refill.
    pub maximum: Money,
    /// Automatic refills begun within `burst`, failed ones too.
    pub burst_max: i64,
    /// See there.
    pub burst: TimeDelta,
    /// The first wait after a soft decline; it doubles.
    pub backoff: TimeDelta,
}

/// What the ledger says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AutoRefillFacts {
    /// The balance; held money does not count.
    pub balance: Money,
    /// An automatic refill is not finished.
    pub is_in_flight: bool,
    /// Dollars of automatic refills begun in this UTC month and not failed.
    pub this_month: Money,
    /// Automatic refills begun within the burst's time.
    pub begun_lately: i64,
    /// When the first of those was begun.
    pub first_lately_at: Option<DateTime<Utc>>,
    /// The end of the back-off.
    pub retry_at: Option<DateTime<Utc>>,
}

/// What follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AutoRefillDecision {
    /// The balance is not below the threshold.
    Enough,
    /// One is in progress.
    InFlight,
    /// Not before this time.
    BackingOff(DateTime<Utc>),
    /// It would pass the monthly cap: not before the next month.
    Capped(DateTime<Utc>),
    /// Charge this.
    Refill(Money),
}

/// Decides whether to refill, at `now`.
pub fn decide(
    terms: &AutoRefillTerms,
    limits: &AutoRefillLimits,
    facts: &AutoRefillFacts,
    now: DateTime<Utc>,
) -> AutoRefillDecision {
    if facts.balance >= terms.threshold {
        return AutoRefillDecision::Enough;
    }
    if facts.is_in_flight {
        return AutoRefillDecision::InFlight;
    }
    if let Some(until) = facts.retry_at.filter(|until| *until > now) {
        return AutoRefillDecision::BackingOff(until);
    }
    if facts.begun_lately >= limits.burst_max {
        let first = facts.first_lately_at.unwrap_or(now);
        return AutoRefillDecision::BackingOff(first + limits.burst);
    }
    let amount = amount_of(terms.size, limits, facts.balance);
    let total = facts.this_month.checked_add(amount);
    let is_over = |cap: Money| total.is_none_or(|total| total > cap);
    if terms.monthly_cap.is_some_and(is_over) {
        return AutoRefillDecision::Capped(next_month(now));
    }
    AutoRefillDecision::Refill(amount)
}

fn amount_of(size: RefillSize, limits: &AutoRefillLimits, balance: Money) -> Money {
    let amount = match size {
        RefillSize::Amount(amount) => amount,
        RefillSize::Target(target) => {
            let missing = target.micros().saturating_sub(balance.micros());
            let cents = missing.saturating_add(MICROS_PER_CENT - 1) / MICROS_PER_CENT;
            Money::from_micros(cents.saturating_mul(MICROS_PER_CENT))
        }
    };
    amount.clamp(limits.minimum, limits.maximum)
}

/// What a declined automatic refill means for the next one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AfterDecline {
    /// Tried again then.
    Later(DateTime<Utc>),
    /// Switched off, for this reason; the customer must set it again.
    Off(String),
}

/// What follows from a decline. `soft_declines` counts the soft ones in a row, this one included if
/// it is soft; `begun_at` is the refill's request.
pub fn after_decline(
    decline: &Decline,
    soft_declines: i32,
    begun_at: DateTime<Utc>,
    backoff: TimeDelta,
    now: DateTime<Utc>,
) -> AfterDecline {
    const REFUSED: &str = "card_refused";
    if decline.class == DeclineClass::OnSession {
        return AfterDecline::Later(now.max(begun_at + TimeDelta::hours(24)));
    }
    if decline.is_hidden {
        return AfterDecline::Off(REFUSED.to_owned());
    }
    if !is_soft(decline) {
        return AfterDecline::Off(decline.code.clone());
    }
    if soft_declines >= SOFT_DECLINES_MAX {
        return AfterDecline::Off(REFUSED.to_owned());
    }
    let doubled = 1_i32.checked_shl(u32::try_from(soft_declines - 1).unwrap_or_default());
    AfterDecline::Later(now + backoff * doubled.unwrap_or(1))
}

/// True if a later try may succeed.
pub fn is_soft(decline: &Decline) -> bool {
    use DeclineClass::{Bank, Check, Generic, Later, Retry};
    !decline.is_hidden && matches!(decline.class, Later | Retry | Bank | Check | Generic)
}

/// The first day of a time's UTC month.
pub fn month_of(now: DateTime<Utc>) -> NaiveDate {
    let day = now.date_naive();
    day.with_day(1).unwrap_or(day)
}

/// The start of the UTC month after a time.
pub fn next_month(now: DateTime<Utc>) -> DateTime<Utc> {
    let month = month_of(now);
    let next = month.checked_add_months(chrono::Months::new(1)).unwrap_or(month);
    next.and_time(chrono::NaiveTime::MIN).and_utc()
}
