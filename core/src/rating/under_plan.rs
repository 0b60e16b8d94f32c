//! What calls would cost under a plan that they were not made under.
//!
//! Place in the flow: beside it. The comparison of plans prices the calls of a finished cycle again,
//! one by one.
//!
//! It must price as [`rate`] does, and never hold the calls.

use super::price::rate;
use super::terms::{RatingError, Terms};
use crate::domain::call::Call;
use crate::domain::catalog::{CatalogVersion, Plan};
use crate::domain::cycle::Cycle;
use crate::domain::increments::ZeroDurationCompleted;
use crate::domain::money::{Money, MoneyError};
use crate::domain::subscription::SubscriptionId;

/// The calls of one whole cycle under a plan, priced so far.
#[derive(Clone, Debug)]
pub struct UnderPlan<'a> {
    terms: Terms<'a>,
    plan: &'a Plan,
    used_seconds: u64,
    overage_seconds: u64,
    overage: Money,
}

impl<'a> UnderPlan<'a> {
    /// Begins a cycle with the plan's whole allowance, at its rates in a catalog version.
    pub const fn new(version: CatalogVersion, plan: &'a Plan, cycle: Cycle) -> Self {
        let subscription = SubscriptionId(0);
        let included_seconds = plan.included_seconds;
        let terms = Terms::Plan { version, plan, subscription, cycle, included_seconds };
        Self { terms, plan, used_seconds: 0, overage_seconds: 0, overage: Money::ZERO }
    }

    /// Adds the next call, in the order in which the calls were charged.
    ///
    /// # Errors
    /// [`RatingError::Price`] if the sum is beyond 64 bits of micro-dollars.
    pub fn add(
        &mut self,
        call: &Call,
        zero_duration: ZeroDurationCompleted,
    ) -> Result<(), RatingError> {
        let price = rate(call, &self.terms, self.used_seconds, zero_duration)?;
        self.used_seconds += u64::from(price.allowance_seconds);
        self.overage_seconds += u64::from(price.wallet_seconds);
        let sum = self.overage.checked_add(price.amount);
        self.overage = sum.ok_or(MoneyError::Overflow)?;
        Ok(())
    }

    /// Returns the plan.
    pub const fn plan(&self) -> &'a Plan {
        self.plan
    }

    /// Returns the seconds beyond the plan's allowance so far.
    pub const fn overage_seconds(&self) -> u64 {
        self.overage_seconds
    }

    /// Returns what the wallet would have paid for them.
    pub const fn overage(&self) -> Money {
        self.overage
    }
}
