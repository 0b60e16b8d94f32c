//! Budgets: what an account may spend in a month, as it set it.

use callmeter_core::domain::Money;
use callmeter_core::policy::budget::Budget;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::budget_marks::{self, Reached};
use super::error::LedgerError;
use super::wallets::{self, WalletHead};

/// Sets or removes the budget of a locked wallet, and raises its version. Marks that it makes true
/// are told, unless they were told in this month.
///
/// # Errors
/// `HeadMoved` if the lock was not held.
pub async fn set(
    connection: &mut PgConnection,
    head: &mut WalletHead,
    budget: Option<&Budget>,
    now: DateTime<Utc>,
) -> Result<(), LedgerError> {
    let percents = budget.map_or(&[][..], |budget| &budget.warn_at_percent);
    sqlx::query(
        "/* budgets::set */
         UPDATE wallets SET budget_micros = $2, budget_percents = $3, budget_stops = $4
         WHERE account_key = $1",
    )
    .bind(head.account_key)
    .bind(budget.map(|budget| budget.monthly.micros()))
    .bind(percents)
    .bind(budget.is_some_and(|budget| budget.stop))
    .execute(&mut *connection)
    .await?;
    wallets::raise_version(connection, head).await?;
    head.watched.budget = budget.cloned();
    let Some(budget) = budget else { return Ok(()) };
    let at = now.max(head.last_at);
    let spent: Money = head.watched.spending.at(at);
    let marks = budget.reached(spent);
    let reached: Vec<Reached> =
        marks.map(|mark| Reached::new(head.account_key, None, at, budget, spent, mark)).collect();
    budget_marks::tell(connection, &reached).await?;
    Ok(())
}
