//! An estimate as JSON, which the API and the command line write.

use callmeter_core::domain::{Money, RatePerMinute};
use serde::Serialize;
use utoipa::ToSchema;

use super::estimate::Estimated;
use crate::json::schema;
use crate::ledger::estimates::Basis;

/// What calls will cost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Estimate)]
pub(crate) struct EstimateJson {
    /// Expected billed minutes, those of the plan included, rounded up.
    minutes: u64,
    /// The part of them that the plan's minutes pay, rounded up.
    allowance_minutes: u64,
    cost: CostJson,
    /// What is available now, less the expected cost.
    #[schema(value_type = schema::Amount)]
    balance_after: Money,
    /// What is missing if it costs the high end; zero if nothing is, and if the plan refuses calls
    /// beyond its minutes, where money does not help.
    #[schema(value_type = schema::Amount)]
    shortfall: Money,
    /// The refill that covers the shortfall, as `POST …/refills` takes it: whole five dollars, at least
    /// the minimum of a refill. `0.00` without a shortfall.
    #[schema(value_type = schema::RefillAmount)]
    suggested_refill: String,
    /// The rate of a minute that the wallet pays, on average over the calls.
    #[schema(value_type = schema::Amount)]
    rate_per_minute: RatePerMinute,
    basis: BasisJson,
    /// The account's own calls whose lengths it rests on; 0: an average alone.
    own_calls: usize,
    /// Calls that are answered, and so charged.
    answered_calls: u64,
    /// True if the plan refuses calls beyond its minutes, and these calls need more. The cost is then
    /// what they cost if they are made all the same.
    exceeds_plan: bool,
    /// What is available now.
    #[schema(value_type = schema::Amount)]
    available: Money,
}

/// What the wallet pays: 9 of 10 campaigns like it stay within `low` and `high`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = EstimatedCost)]
pub(crate) struct CostJson {
    #[schema(value_type = schema::Amount)]
    low: Money,
    #[schema(value_type = schema::Amount)]
    expected: Money,
    #[schema(value_type = schema::Amount)]
    high: Money,
}

/// What the lengths rest on: the account's own calls, or the average that was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = EstimateBasis)]
#[serde(rename_all = "snake_case")]
pub(crate) enum BasisJson {
    OwnCalls,
    Given,
}

impl From<&Estimated> for EstimateJson {
    fn from(estimated: &Estimated) -> Self {
        let estimate = &estimated.estimate;
        let cost = estimate.cost;
        Self {
            minutes: estimate.billed_seconds.expected.div_ceil(60),
            allowance_minutes: estimate.allowance_seconds.div_ceil(60),
            cost: CostJson { low: cost.low, expected: cost.expected, high: cost.high },
            balance_after: estimated.balance_after,
            shortfall: estimated.shortfall,
            suggested_refill: in_cents(estimated.suggested_refill),
            rate_per_minute: estimate.rate,
            basis: match estimated.basis {
                Basis::OwnCalls => BasisJson::OwnCalls,
                Basis::Given => BasisJson::Given,
            },
            own_calls: estimated.own_calls,
            answered_calls: estimate.answered_calls,
            exceeds_plan: estimated.exceeds_plan,
            available: estimated.available,
        }
    }
}

/// Whole cents with two places, as a refill takes them.
fn in_cents(amount: Money) -> String {
    let text = amount.to_string();
    text.strip_suffix("0000").unwrap_or(&text).to_owned()
}
