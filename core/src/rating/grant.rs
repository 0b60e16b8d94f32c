//! The longest call that an account can pay: the inverse of the price.
//!
//! Place in the flow: authorization uses it in Rust for estimates and without Redis; the script
//! that places holds computes exactly the same in Lua. The later charge comes only from
//! [`rate`](super::rate).
//!
//! It must never grant a length whose price exceeds the money, nor less than the longest one, nor
//! search: the formula is closed, so that both implementations can be checked against it.
//!
//! # Formula
//! Whole numbers throughout; `/` rounds down. `A` is the allowance in seconds that is neither used
//! nor held, `M` the money available in micro-dollars, `B` what is left of a budget that stops
//! calls, `r` the rate in micro-dollars per minute, `I` and `K` the initial length and the increment
//! in seconds.
//!
//! ```text
//! B <= 0: over budget                               without such a budget B is M
//! longest  = I + ceil(max(0, cap − I) / K) × K       the billing length that holds the cap
//! A'       = min(A, longest)
//! price(s) = (r × s + 30) / 60                       half a micro-dollar and more counts whole
//! M'       = min(max(min(M, B), 0), price(longest − A'))
//! W        = (60 × M' + 29) / r                      the most seconds with price(s) <= M'
//!            where r = 0: longest
//! payable  = A' + W                                  seconds that allowance and money pay together
//! payable < I: refused, shortfall = price(I − A') − M; over budget if that is not above zero
//! length   = I + ((payable − I) / K) × K             the longest billing length that is payable
//! attainable = min(length, cap)
//! granted  = min(attainable, asked);  final = granted >= attainable
//! billed   = billing length of granted;  allowance = min(billed, A');  wallet = billed − allowance
//! hold     = price(wallet)
//! ```
//!
//! `W` is the exact inverse of the price: `(r × s + 30) / 60 <= M` is `r × s < 60 × M + 30`, that
//! is `s <= (60 × M + 29) / r`.
//!
//! # Size of the numbers
//! `A'` and `M'` are limited to what the cap can use, so no step exceeds `r × longest + 60`. With
//! the highest rate of a catalog ([`Catalog::RATE_MAX`](crate::domain::Catalog::RATE_MAX)), a cap
//! of a day and the longest increments, that is below 2^53, which this module asserts at compile
//! time. So a Lua script computes every step exactly, each division as `(x − x % y) / y`. Only the
//! shortfall uses `M` itself, whose size is asserted where it enters and leaves Redis.

use crate::domain::catalog::Catalog;
use crate::domain::increments::Increments;
use crate::domain::money::Money;
use crate::domain::rate::RatePerMinute;

/// What all calls of an account share; a call's own hold is given back before it asks for more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Seconds of the cycle's allowance neither used nor held.
    pub allowance_seconds: u64,
    /// Money available: balance + credit limit − held. Below zero it pays nothing, but the
    /// allowance can still be granted: such a wallet is not `empty`.
    pub money: Money,
    /// What is left of the month's budget: budget − spent − held. `None`: no budget stops calls.
    pub budget: Option<Money>,
}

/// The price terms of the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GrantTerms {
    /// The rate of its rated number.
    pub rate: RatePerMinute,
    /// The increments of its tariff.
    pub increments: Increments,
}

/// The result for a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrantOutcome {
    /// How long it may last.
    Granted(Grant),
    /// Not even the initial length can be paid.
    Refused {
        /// The money missing for the initial length; zero if money would not help.
        shortfall: Money,
    },
    /// The month's budget is spent, or does not pay the initial length although the money would.
    OverBudget,
}

/// A grant, and the hold for its price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// How long the call may last after its answer, in seconds: at most the time asked for and at
    /// most the cap, so it may end within a billing length.
    pub granted_seconds: u32,
    /// How long it could last if asked for, up to the cap.
    pub attainable_seconds: u32,
    /// The billing length that is charged for the grant and held.
    pub billed_seconds: u32,
    /// The held part of the allowance.
    pub allowance_seconds: u32,
    /// The held part of the money, in seconds.
    pub wallet_seconds: u32,
    /// The money held: the price of `wallet_seconds`.
    pub hold: Money,
    /// True if asking for more would give no more now (RFC 8506's final unit): the pool or the cap
    /// ends here.
    pub is_final: bool,
}

/// Grants the longest billing length whose price, after the allowance left, is at most the money
/// available, limited by the time asked for and the cap (docs/charging.md, "Grants").
///
/// The limits apply last: the grant may then end within a billing length, and the hold covers the
/// whole one, which is payable because it is no longer than the longest. So an asked time or a cap
/// below the initial length is no reason to refuse; only a pool that cannot pay the initial length
/// is.
///
/// `asked_seconds` is the call's total since its answer.
pub fn grant_seconds(
    pool: Pool,
    terms: GrantTerms,
    asked_seconds: u32,
    cap_seconds: u32,
) -> GrantOutcome {
    if pool.is_over_budget() {
        return GrantOutcome::OverBudget;
    }
    let rate = terms.rate;
    let longest = terms.increments.length_holding(cap_seconds);
    let allowance = pool.allowance_seconds.min(longest);
    let purse = pool.budget.map_or(pool.money, |left| left.min(pool.money));
    let money = wide(purse).clamp(0, rate.price_wide(longest - allowance));
    let payable = allowance.saturating_add(rate.seconds_payable(money).unwrap_or(longest));
    let Some(length) = terms.increments.longest_length_within(payable) else {
        let unpaid = u64::from(terms.increments.initial()) - allowance;
        let missing = rate.price_wide(unpaid) - wide(pool.money);
        if missing <= 0 {
            return GrantOutcome::OverBudget;
        }
        return GrantOutcome::Refused { shortfall: Money::from_wide_saturating(missing) };
    };
    let attainable = attainable_seconds(length, cap_seconds);
    GrantOutcome::Granted(hold_for(attainable, asked_seconds, allowance, terms))
}

/// Grants from the allowance alone, for a plan with `overage = "block"`: beyond it money does not
/// help, and the shortfall of a refusal is zero. A spent budget refuses here too.
pub fn grant_allowance_seconds(
    pool: Pool,
    terms: GrantTerms,
    asked_seconds: u32,
    cap_seconds: u32,
) -> GrantOutcome {
    if pool.is_over_budget() {
        return GrantOutcome::OverBudget;
    }
    let longest = terms.increments.length_holding(cap_seconds);
    let allowance = pool.allowance_seconds.min(longest);
    let Some(length) = terms.increments.longest_length_within(allowance) else {
        return GrantOutcome::Refused { shortfall: Money::ZERO };
    };
    let attainable = attainable_seconds(length, cap_seconds);
    GrantOutcome::Granted(hold_for(attainable, asked_seconds, allowance, terms))
}

impl Pool {
    /// True if the budget is spent: then no length is granted, not even from the allowance.
    fn is_over_budget(&self) -> bool {
        self.budget.is_some_and(|left| !left.is_positive())
    }
}

/// Limits the longest payable length to the cap.
fn attainable_seconds(length: u64, cap_seconds: u32) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX).min(cap_seconds)
}

/// Limits the attainable time to the asked one, and finds the hold for its price.
fn hold_for(
    attainable_seconds: u32,
    asked_seconds: u32,
    allowance: u64,
    terms: GrantTerms,
) -> Grant {
    let granted_seconds = attainable_seconds.min(asked_seconds);
    let billed_seconds = terms.increments.billed_seconds(granted_seconds);
    let allowance_seconds = billed_seconds.min(u32::try_from(allowance).unwrap_or(u32::MAX));
    let wallet_seconds = billed_seconds - allowance_seconds;
    let hold = terms.rate.price_wide(u64::from(wallet_seconds));
    Grant {
        granted_seconds,
        attainable_seconds,
        billed_seconds,
        allowance_seconds,
        wallet_seconds,
        hold: Money::from_wide_saturating(hold),
        is_final: granted_seconds >= attainable_seconds,
    }
}

fn wide(amount: Money) -> i128 {
    i128::from(amount.micros())
}

/// The longest cap for which Lua is exact: a day, the limit of a call's length.
const CAP_SECONDS_MAX: i64 = 86_400;

const _: () = {
    let longest = CAP_SECONDS_MAX + Increments::SECONDS_MAX as i64;
    let greatest = Catalog::RATE_MAX.micros() * longest + 60;
    assert!(greatest <= Money::EXACT_IN_LUA.micros(), "a step of the formula leaves 2^53");
};
