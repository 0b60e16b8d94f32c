//! What calls will cost an account: like its own latest calls, or of a given average length.
//!
//! Every call of the sample is priced by the core's rating, under the terms of now.

use std::num::NonZeroU32;

use callmeter_core::domain::{
    AccountId, Call, CallSid, Money, Overage, RatePerMinute, Share, ZeroDurationCompleted,
};
use callmeter_core::rating::estimate::scaled_seconds;
use callmeter_core::rating::{
    Campaign, Estimate, RatingError, Sample, Terms, estimate, suggested_refill, terms_at,
};
use chrono::{DateTime, TimeDelta, Utc};

use super::read::{Standing, Wallets};
use crate::balance::BalanceError;
use crate::config::{PAYMENT_MAX, Settings};
use crate::ledger::LedgerError;
use crate::ledger::estimates::{self, Basis, KeptEstimate};
use crate::ledger::own_calls::{self, OwnCall};

/// Most calls of an estimate.
pub const CALLS_MAX: u32 = 10_000_000;
/// Longest average, in seconds: a day.
pub const AVERAGE_SECONDS_MAX: u64 = 86_400;
/// Longest tag: events are charged with no longer one.
pub const TAG_CHARACTERS_MAX: usize = 256;
/// Own calls that are read, the newest.
const OWN_CALLS_MAX: u16 = 5_000;
/// Own calls that it takes to know how their lengths spread.
const OWN_CALLS_LEAST: usize = 20;
/// Calls to a destination that it takes to leave the others out.
const OF_DESTINATION_LEAST: usize = 50;
/// Calls of this time count alone, if they are enough.
const RECENT: TimeDelta = TimeDelta::days(30);
/// An average this near to that of the own calls is theirs, in milliseconds: whoever typed it rounded.
const SAME_AVERAGE: u64 = 1_000;

/// What estimates take from the settings.
#[derive(Clone, Copy, Debug)]
pub struct EstimateRules {
    zero_duration: ZeroDurationCompleted,
    refill_minimum: Money,
}

impl EstimateRules {
    /// Takes them from the settings.
    pub fn new(settings: &Settings) -> Self {
        Self {
            zero_duration: settings.charging.zero_duration_completed,
            refill_minimum: settings.refill.minimum,
        }
    }

    /// The refill that covers what is missing; zero if nothing is.
    pub fn refill_for(self, shortfall: Money) -> Money {
        suggested_refill(shortfall, self.refill_minimum, PAYMENT_MAX)
    }
}

/// True for what can be called: a number or its beginning, `sip:…` or `client:…`.
pub fn is_destination(text: &str) -> bool {
    let is_address = |scheme: &str| {
        let rest = text.strip_prefix(scheme).unwrap_or_default();
        (1..=200).contains(&rest.len()) && !rest.chars().any(char::is_control)
    };
    let digits = text.strip_prefix('+').unwrap_or_default();
    let is_number =
        (1..=15).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_digit());
    is_number || is_address("sip:") || is_address("client:")
}

/// The calls to estimate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EstimateRequest {
    /// Calls to place, at most [`CALLS_MAX`].
    pub calls: NonZeroU32,
    /// The average length of an answered call; `None`: as the account's own calls.
    pub average_milliseconds: Option<u64>,
    /// The share of the calls that is answered.
    pub answered: Share,
    /// The number called, or how it begins; `None`: where the own calls went.
    pub to: Option<String>,
    /// The campaign: the estimate is kept for it.
    pub tag: Option<String>,
}

/// An estimate for an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Estimated {
    /// Minutes and cost.
    pub estimate: Estimate,
    /// What the lengths rest on.
    pub basis: Basis,
    /// Own calls that it rests on; 0: an average alone.
    pub own_calls: usize,
    /// Seconds of the cycle's allowance neither used nor held.
    pub allowance_left_seconds: u64,
    /// What new calls may use now.
    pub available: Money,
    /// What is available less the expected cost.
    pub balance_after: Money,
    /// What is missing at the high end; zero if money would not help.
    pub shortfall: Money,
    /// The refill that covers it; zero without a shortfall.
    pub suggested_refill: Money,
    /// True if the plan refuses calls beyond its minutes, and these calls need more.
    pub exceeds_plan: bool,
}

/// Why calls cannot be estimated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotEstimated {
    /// There is no such account.
    UnknownAccount,
    /// No average is given, and the account has too few calls of its own.
    NoAverage {
        /// The calls it has.
        own_calls: usize,
        /// The calls it needs.
        needed: usize,
    },
    /// Calls to this prefix are refused.
    Blocked {
        /// The prefix.
        prefix: String,
    },
    /// The cost is beyond the range of amounts.
    OutOfRange,
}

/// The calls that an estimate rests on.
struct Basics {
    sample: Sample,
    basis: Basis,
    own_calls: usize,
}

impl Wallets {
    /// Estimates calls of an account as of `now`, and keeps the estimate if it names a tag.
    ///
    /// # Errors
    /// If Postgres is unavailable; Redis may be.
    pub async fn estimate(
        &self,
        id: &AccountId,
        request: &EstimateRequest,
        rules: EstimateRules,
        now: DateTime<Utc>,
    ) -> Result<Result<Estimated, NotEstimated>, BalanceError> {
        let Some(standing) = self.standing(id, now).await? else {
            return Ok(Err(NotEstimated::UnknownAccount));
        };
        let account_key = standing.overview.account_key;
        let mut connection = self.store().read().await?;
        let own = own_calls::newest(&mut connection, account_key, OWN_CALLS_MAX).await?;
        drop(connection);
        let (estimated, prefix) = match estimated(&standing, own, request, rules, now)? {
            Ok(estimated) => estimated,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if let Some(tag) = &request.tag {
            let kept = KeptEstimate {
                tag: tag.clone(),
                at: now,
                calls: request.calls.get(),
                answered: request.answered,
                average_milliseconds: request.average_milliseconds,
                prefix,
                basis: estimated.basis,
                estimate: estimated.estimate,
            };
            let kept = estimates::keep(self.store(), account_key, kept).await;
            kept.map_err(LedgerError::from)?;
        }
        Ok(Ok(estimated))
    }

    /// The destinations that the terms of now price: each prefix with its rate, and the rate of all
    /// others. Blocked ones are left out. `None`: there is no such account.
    ///
    /// # Errors
    /// As [`Self::estimate`].
    pub async fn destinations(
        &self,
        id: &AccountId,
        now: DateTime<Utc>,
    ) -> Result<Option<Destinations>, BalanceError> {
        let Some(standing) = self.standing(id, now).await? else { return Ok(None) };
        let terms = terms(&standing, now)?;
        let deck = &terms.tariff().deck;
        let of = |prefix: &str| deck.rate_for(Some(prefix));
        let prefixes = deck.prefixes().map(|(prefix, _)| prefix);
        let priced = prefixes.filter(|prefix| !of(prefix).blocked);
        Ok(Some(Destinations {
            prefixes: priced.map(|prefix| (prefix.to_owned(), of(prefix).rate)).collect(),
            others: deck.default_rate(),
        }))
    }

    /// The account's own average: the length of its calls in whole seconds, and how many they are.
    /// `None`: they are too few to estimate by.
    ///
    /// # Errors
    /// As [`Self::estimate`].
    pub async fn own_average(
        &self,
        account_key: i32,
        now: DateTime<Utc>,
    ) -> Result<Option<(u64, usize)>, LedgerError> {
        let mut connection = self.store().read().await?;
        let own = own_calls::newest(&mut connection, account_key, OWN_CALLS_MAX).await?;
        let calls = recent(own, now);
        if calls.len() < OWN_CALLS_LEAST {
            return Ok(None);
        }
        let (total, count) = total(&calls);
        let average = (total + u64::from(count) / 2).checked_div(count.into());
        Ok(average.map(|average| (average, calls.len())))
    }
}

/// What calls to each destination cost a minute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destinations {
    /// Prefixes with a rate of their own.
    pub prefixes: Vec<(String, RatePerMinute)>,
    /// The rate of all others.
    pub others: RatePerMinute,
}

fn terms(standing: &Standing, now: DateTime<Utc>) -> Result<Terms<'_>, LedgerError> {
    let none = || LedgerError::unreadable("no catalog", "none was accepted yet");
    let catalogs = standing.catalogs.as_deref().ok_or_else(none)?;
    let terms = terms_at(catalogs, &standing.overview.timeline, now);
    terms.map_err(|error| LedgerError::unreadable("a subscription", error))
}

/// The estimate, and the prefix that its destination matched.
type Found = (Estimated, Option<String>);

fn estimated(
    standing: &Standing,
    own: Vec<OwnCall>,
    request: &EstimateRequest,
    rules: EstimateRules,
    now: DateTime<Utc>,
) -> Result<Result<Found, NotEstimated>, LedgerError> {
    let terms = terms(standing, now)?;
    let matched = terms.rate_for(request.to.as_deref());
    let prefix = matched.prefix.map(str::to_owned);
    if matched.blocked {
        return Ok(Err(NotEstimated::Blocked { prefix: prefix.unwrap_or_default() }));
    }
    let own = recent(own, now);
    let basics = match basics(own, request, &terms, rules) {
        Ok(Ok(basics)) => basics,
        Ok(Err(refusal)) => return Ok(Err(refusal)),
        Err(RatingError::Price(_)) => return Ok(Err(NotEstimated::OutOfRange)),
        Err(error) => return Err(LedgerError::unreadable("a call", error)),
    };
    let view = &standing.view;
    let allowance = view.allowance.as_ref();
    let campaign = Campaign {
        calls: request.calls,
        answered: request.answered,
        allowance_seconds: allowance.map_or(0, |allowance| allowance.remaining_seconds),
    };
    let Ok(estimate) = estimate(&basics.sample, &campaign) else {
        return Ok(Err(NotEstimated::OutOfRange));
    };
    let blocks = terms.plan().is_some_and(|plan| plan.overage == Overage::Block);
    let exceeds_plan = blocks && estimate.billed_seconds.expected > campaign.allowance_seconds;
    let after = |cost: Money| view.available.checked_sub(cost);
    let (Some(balance_after), Some(at_worst)) =
        (after(estimate.cost.expected), after(estimate.cost.high))
    else {
        return Ok(Err(NotEstimated::OutOfRange));
    };
    // Money does not bring calls beyond such a plan.
    let is_short = at_worst.is_negative() && !blocks;
    let missing = at_worst.checked_neg().unwrap_or(Money::ZERO);
    let shortfall = if is_short { missing } else { Money::ZERO };
    let estimated = Estimated {
        estimate,
        basis: basics.basis,
        own_calls: basics.own_calls,
        allowance_left_seconds: campaign.allowance_seconds,
        available: view.available,
        balance_after,
        shortfall,
        suggested_refill: rules.refill_for(shortfall),
        exceeds_plan,
    };
    Ok(Ok((estimated, prefix)))
}

/// The calls of the last 30 days if they are enough, else all.
fn recent(own: Vec<OwnCall>, now: DateTime<Utc>) -> Vec<Call> {
    let newer = own.iter().filter(|own| own.charged_at > now - RECENT).count();
    let most = if newer < OWN_CALLS_LEAST { own.len() } else { newer };
    own.into_iter().take(most).map(|own| own.call).collect()
}

/// The length of all calls in seconds, and how many they are.
fn total(calls: &[Call]) -> (u64, u32) {
    let total = calls.iter().map(|call| u64::from(call.seconds)).sum();
    (total, u32::try_from(calls.len()).unwrap_or(u32::MAX))
}

/// The sample: own calls, own calls scaled to an average, or the average alone.
fn basics(
    mut own: Vec<Call>,
    request: &EstimateRequest,
    terms: &Terms<'_>,
    rules: EstimateRules,
) -> Result<Result<Basics, NotEstimated>, RatingError> {
    if let Some(to) = request.to.as_deref() {
        own = towards(own, to, terms);
    }
    let basis = match request.average_milliseconds {
        Some(_) => Basis::Given,
        None => Basis::OwnCalls,
    };
    let (total, count) = total(&own);
    let is_enough = own.len() >= OWN_CALLS_LEAST;
    let sample = match request.average_milliseconds {
        None if is_enough => Sample::of_calls(&own, terms, rules.zero_duration)?,
        Some(average) if is_enough && total > 0 => {
            if !is_about(average, (total, count)) {
                for call in &mut own {
                    call.seconds = scaled_seconds(call.seconds, average, (total, count));
                }
            }
            Sample::of_calls(&own, terms, rules.zero_duration)?
        }
        Some(average) => {
            own.clear();
            let call = call_to(request.to.as_deref());
            Sample::of_average(&call, average, terms, rules.zero_duration)?
        }
        None => None,
    };
    let Some(sample) = sample else {
        let (own_calls, needed) = (own.len(), OWN_CALLS_LEAST);
        return Ok(Err(NotEstimated::NoAverage { own_calls, needed }));
    };
    Ok(Ok(Basics { sample, basis, own_calls: own.len() }))
}

/// True if an average is that of the calls, but for the rounding of whoever gave it.
fn is_about(average_milliseconds: u64, (total, count): (u64, u32)) -> bool {
    let own = (total * 1_000).checked_div(count.into()).unwrap_or(0);
    own.abs_diff(average_milliseconds) < SAME_AVERAGE
}

/// The calls as if all went to one number; those that matched the same prefix alone, if they are
/// enough.
fn towards(own: Vec<Call>, to: &str, terms: &Terms<'_>) -> Vec<Call> {
    let prefix = terms.rate_for(Some(to)).prefix;
    let is_alike = |call: &Call| terms.rate_for(call.rated_number()).prefix == prefix;
    let alike = own.iter().filter(|call| is_alike(call)).count();
    let leaves_out = alike >= OF_DESTINATION_LEAST;
    own.into_iter()
        .filter(|call| !leaves_out || is_alike(call))
        .map(|call| Call { to: Some(to.into()), direction: None, ..call })
        .collect()
}

/// A call to a number, without a length yet.
fn call_to(to: Option<&str>) -> Call {
    Call {
        call_sid: CallSid::parse("estimate").expect("a word is a sid"),
        parent_call_sid: None,
        from: None,
        to: to.map(Into::into),
        direction: None,
        ended_at: DateTime::UNIX_EPOCH,
        seconds: 0,
        twilio_minutes: None,
        tag: None,
    }
}
