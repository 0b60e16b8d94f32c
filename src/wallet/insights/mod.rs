//! Insights: where an account's money went, and what it would have cost elsewhere.
//!
//! [`view`] answers questions from the read models of the ledger, [`keep`] keeps those: the sums
//! every minute, the comparison of plans every day. Charging takes no part in either.

mod compare;
mod cycles;
mod keep;
mod view;

pub use compare::{Compared, PlanComparer};
pub use cycles::CycleDays;
pub(super) use cycles::cycle_days;
pub use keep::{Summed, rebuild, sum_up};
pub use view::{CycleOverage, DaySpending, InsightsView, PlanCost, PlansFor, Refused, Rounding};
pub(super) use view::{insights as read, pace, runway_days};
