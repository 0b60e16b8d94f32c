//! The terms of a call: which plan, cycle and catalog version it belongs to.
//!
//! Place in the flow: found once per call, at the call's start; they say which cycle's used seconds
//! the ledger has to pass to [`rate`](super::rate).
//!
//! It must never use the time of the event or of the commit: a late event belongs where its call
//! started (docs/charging.md, "A call").

use chrono::{DateTime, Utc};
use thiserror::Error;

use crate::domain::catalog::{CatalogHistory, CatalogVersion, MatchedRate, Plan, Tariff};
use crate::domain::cycle::Cycle;
use crate::domain::ids::PlanId;
use crate::domain::money::MoneyError;
use crate::domain::subscription::{SubscriptionId, SubscriptionInForce, SubscriptionTimeline};

/// An account's terms at one point in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Terms<'a> {
    /// No subscription: the wallet pays everything.
    Standard {
        /// The catalog version of the rates.
        version: CatalogVersion,
        /// The standard tariff.
        tariff: &'a Tariff,
    },
    /// A subscription: its cycle's allowance pays first.
    Plan {
        /// The catalog version of the rates: the one at the call's start.
        version: CatalogVersion,
        /// The plan in that version.
        plan: &'a Plan,
        /// The subscription.
        subscription: SubscriptionId,
        /// The cycle of that time, cut where the subscription ends.
        cycle: Cycle,
        /// Included seconds of the cycle, by the version in force at the cycle's start.
        included_seconds: u64,
    },
}

impl<'a> Terms<'a> {
    /// Returns the catalog version of the rates.
    pub const fn version(&self) -> CatalogVersion {
        match self {
            Self::Standard { version, .. } | Self::Plan { version, .. } => *version,
        }
    }

    /// Returns the tariff: the standard one, or the plan's.
    pub const fn tariff(&self) -> &'a Tariff {
        match self {
            Self::Standard { tariff, .. } => tariff,
            Self::Plan { plan, .. } => &plan.tariff,
        }
    }

    /// Returns the plan, if there is one.
    pub const fn plan(&self) -> Option<&'a Plan> {
        match self {
            Self::Standard { .. } => None,
            Self::Plan { plan, .. } => Some(plan),
        }
    }

    /// Returns the cycle, if there is one: with the subscription, the key of the used seconds.
    pub const fn cycle(&self) -> Option<Cycle> {
        match self {
            Self::Standard { .. } => None,
            Self::Plan { cycle, .. } => Some(*cycle),
        }
    }

    /// Returns the rate of a number.
    pub fn rate_for(&self, rated_number: Option<&str>) -> MatchedRate<'a> {
        self.tariff().deck.rate_for(rated_number)
    }

    /// Returns the rest of the cycle's allowance, in seconds; 0 without a plan, or if a catalog
    /// version removed minutes that were already used.
    pub const fn allowance_left(&self, used_seconds: u64) -> u64 {
        match self {
            Self::Standard { .. } => 0,
            Self::Plan { included_seconds, .. } => included_seconds.saturating_sub(used_seconds),
        }
    }
}

/// Finds the terms at a given time: the call's start, or for an authorization the time of the
/// request.
///
/// # Errors
/// [`RatingError::UnknownPlan`] if no catalog version has the plan. A catalog that lacks a plan in
/// use is refused, so the caller treats this as a broken ledger.
pub fn terms_at<'a>(
    catalogs: &'a CatalogHistory,
    timeline: &'a SubscriptionTimeline,
    at: DateTime<Utc>,
) -> Result<Terms<'a>, RatingError> {
    terms_in(catalogs, timeline.in_force(at), at)
}

/// The same, for a caller that already knows what is in force at that time.
///
/// # Errors
/// As [`terms_at`].
pub fn terms_in<'a>(
    catalogs: &'a CatalogHistory,
    in_force: Option<SubscriptionInForce<'a>>,
    at: DateTime<Utc>,
) -> Result<Terms<'a>, RatingError> {
    let Some(in_force) = in_force else {
        let standing = catalogs.at(at);
        let (version, tariff) = (standing.version, &standing.catalog.standard);
        return Ok(Terms::Standard { version, tariff });
    };
    let plan_at = |instant| {
        catalogs
            .plan_at(in_force.plan, instant)
            .ok_or_else(|| RatingError::UnknownPlan { plan: in_force.plan.clone() })
    };
    let (version, plan) = plan_at(at)?;
    let (_, plan_at_cycle_start) = plan_at(in_force.cycle.start)?;
    Ok(Terms::Plan {
        version,
        plan,
        subscription: in_force.subscription.id,
        cycle: in_force.cycle,
        included_seconds: plan_at_cycle_start.included_seconds,
    })
}

/// Why a call cannot be rated.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RatingError {
    /// No catalog version has the plan.
    #[error("no catalog version has plan {plan}")]
    UnknownPlan {
        /// The plan subscribed to.
        plan: PlanId,
    },
    /// The price is beyond the range of amounts: reject the record.
    #[error("the call cannot be priced")]
    Price(#[from] MoneyError),
}
