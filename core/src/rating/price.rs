//! The price of one call.
//!
//! Place in the flow: the charging loop calls it for every call, and so do authorization, estimates
//! and re-rating; nothing else multiplies a rate.
//!
//! It must never allocate for a call that no prefix matches, and never decide whether a call is
//! charged.

use super::terms::{RatingError, Terms};
use crate::domain::call::Call;
use crate::domain::catalog::Legs;
use crate::domain::increments::{Increments, ZeroDurationCompleted};
use crate::domain::money::Money;
use crate::domain::rate::RatePerMinute;
use crate::domain::transaction::TransactionKind;

/// The price of a call and its evidence, as far as rating computes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Price {
    /// The billed time in seconds: `allowance_seconds + wallet_seconds`.
    pub billed_seconds: u32,
    /// The rest of the cycle's allowance before this call, in seconds; 0 without a plan.
    pub allowance_before_seconds: u64,
    /// The part that the allowance pays.
    pub allowance_seconds: u32,
    /// The part that the wallet pays.
    pub wallet_seconds: u32,
    /// The rate per minute of the wallet's part.
    pub rate: RatePerMinute,
    /// The prefix that gave the rate, `None` for the default rate.
    pub matched_prefix: Option<Box<str>>,
    /// What the wallet pays.
    pub amount: Money,
    /// The kind of the transaction if the amount is not zero: `call` or `overage`.
    pub kind: TransactionKind,
}

/// Prices a completed call (docs/charging.md, "A call" and "What pays").
///
/// `terms` are those at the call's start; `used_seconds` is the allowance used by earlier charges
/// of the same cycle. The billed time first uses the rest of the allowance, second for second; the
/// remainder is priced at the rate of the rated number and rounded once. If the plan charges only
/// parents, a leg with a parent costs nothing and uses nothing, but keeps the rate as evidence.
///
/// # Errors
/// [`RatingError::Price`] if the amount is beyond 64 bits of micro-dollars.
pub fn rate(
    call: &Call,
    terms: &Terms<'_>,
    used_seconds: u64,
    zero_duration: ZeroDurationCompleted,
) -> Result<Price, RatingError> {
    let matched = terms.rate_for(call.rated_number());
    let billed_seconds = if is_charged(call, terms) {
        billed_seconds(call.seconds, terms.tariff().increments, zero_duration)
    } else {
        0
    };
    let allowance_before_seconds = terms.allowance_left(used_seconds);
    let left = u32::try_from(allowance_before_seconds).unwrap_or(u32::MAX);
    let allowance_seconds = billed_seconds.min(left);
    let wallet_seconds = billed_seconds - allowance_seconds;
    Ok(Price {
        billed_seconds,
        allowance_before_seconds,
        allowance_seconds,
        wallet_seconds,
        rate: matched.rate,
        matched_prefix: matched.prefix.map(Into::into),
        amount: matched.rate.price(wallet_seconds)?,
        kind: match terms {
            Terms::Standard { .. } => TransactionKind::Call,
            Terms::Plan { .. } => TransactionKind::Overage,
        },
    })
}

fn is_charged(call: &Call, terms: &Terms<'_>) -> bool {
    let parents_only = terms.plan().is_some_and(|plan| plan.legs == Legs::ParentOnly);
    !(parents_only && call.is_child_leg())
}

fn billed_seconds(
    seconds: u32,
    increments: Increments,
    zero_duration: ZeroDurationCompleted,
) -> u32 {
    match (seconds, zero_duration) {
        (0, ZeroDurationCompleted::Free) => 0,
        _ => increments.billed_seconds(seconds),
    }
}
