//! A budget as JSON.

use callmeter_core::domain::Money;
use callmeter_core::policy::auto_refill::{month_of, next_month};
use callmeter_core::policy::budget::{Budget, forecast};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::schema;
use crate::ledger::watched::Watched;

/// What an account may spend in a UTC month, and what it has spent in this one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Budget)]
pub(crate) struct BudgetJson {
    /// Null: no budget.
    #[schema(value_type = Option<schema::Amount>)]
    pub(crate) monthly: Option<Money>,
    /// Percents of it that are told once a month when they are spent.
    #[schema(max_items = 20)]
    pub(crate) warn_at_percent: Vec<i16>,
    /// True if new calls are denied once it is spent.
    pub(crate) stop: bool,
    /// Spent in this month: completed debits other than adjustments, chargebacks and refunds to a
    /// card, less refunds. Below zero if more was given back.
    #[schema(value_type = schema::Amount)]
    pub(crate) spent: Money,
    #[schema(value_type = schema::Month)]
    pub(crate) month: String,
    /// When the next month begins.
    pub(crate) resets_at: DateTime<Utc>,
    /// What will be spent at the month's end if it goes on as so far; null on its first day.
    #[schema(value_type = Option<schema::Amount>)]
    pub(crate) forecast: Option<Money>,
}

impl BudgetJson {
    /// As it stands at `now`.
    pub(crate) fn new(watched: &Watched, now: DateTime<Utc>) -> Self {
        let budget = watched.budget.clone();
        let (monthly, warn_at_percent, stop) = match budget {
            Some(Budget { monthly, warn_at_percent, stop }) => {
                (Some(monthly), warn_at_percent, stop)
            }
            None => (None, Vec::new(), false),
        };
        let spent = watched.spending.at(now);
        Self {
            monthly,
            warn_at_percent,
            stop,
            spent,
            month: month_of(now).format("%Y-%m").to_string(),
            resets_at: next_month(now),
            forecast: forecast(spent, now),
        }
    }
}
