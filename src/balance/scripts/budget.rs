//! A budget that stops calls, as a wallet in Redis has it.

use callmeter_core::policy::budget::BudgetStop;

/// Writes what `grant.lua` reads: what is left until the month's end, the whole month, and that end
/// in micro-seconds; empty if no budget stops calls.
pub(crate) fn written(budget: Option<BudgetStop>) -> String {
    let text = budget.map(|BudgetStop { left, monthly, ends_at }| {
        format!("{} {} {}", left.micros(), monthly.micros(), ends_at.timestamp_micros())
    });
    text.unwrap_or_default()
}
