//! Marks of budgets that were reached: each is told once a month, whoever reaches it again.

use std::collections::HashSet;

use callmeter_core::domain::{EventType, Money};
use callmeter_core::policy::auto_refill::month_of;
use callmeter_core::policy::budget::{Budget, BudgetMark};
use chrono::{DateTime, NaiveDate, Utc};
use serde_json::json;
use sqlx::PgConnection;

use super::outbox::{self, Fact};
use super::store::StoreError;

/// A mark that the spending of a month reached.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Reached {
    month: NaiveDate,
    mark: i16,
    /// What is told if it was not told in this month.
    fact: Fact,
}

impl Reached {
    /// By the row of `sequence`, or by the setting of the budget; `spent` is the month's sum.
    pub(super) fn new(
        account_key: i32,
        sequence: Option<i64>,
        at: DateTime<Utc>,
        budget: &Budget,
        spent: Money,
        mark: BudgetMark,
    ) -> Self {
        let month = month_of(at);
        let told = month.format("%Y-%m").to_string();
        let (kind, number, data) = match mark {
            BudgetMark::Percent(percent) => (
                EventType::BudgetWarning,
                percent,
                json!({
                    "percent": percent, "monthly": budget.monthly, "spent": spent, "month": told,
                }),
            ),
            BudgetMark::Spent => (
                EventType::BudgetExceeded,
                0,
                json!({ "monthly": budget.monthly, "spent": spent, "month": told }),
            ),
        };
        let fact = Fact { account_key, kind, at, sequence, data: Some(data) };
        Self { month, mark: number, fact }
    }
}

/// Tells the marks that were not told in their month, under the wallets' locks.
///
/// # Errors
/// If Postgres is unavailable.
pub(super) async fn tell(
    connection: &mut PgConnection,
    reached: &[Reached],
) -> Result<(), StoreError> {
    if reached.is_empty() {
        return Ok(());
    }
    let account_keys: Vec<i32> = reached.iter().map(|one| one.fact.account_key).collect();
    let months: Vec<NaiveDate> = reached.iter().map(|one| one.month).collect();
    let new: Vec<(i32, NaiveDate, i16)> = sqlx::query_as(
        "/* budget_marks::tell */ INSERT INTO budget_marks (account_key, month, mark)
         SELECT * FROM unnest($1::integer[], $2::date[], $3::smallint[])
         ON CONFLICT ON CONSTRAINT budget_marks_pk DO NOTHING RETURNING account_key, month, mark",
    )
    .bind(&account_keys)
    .bind(&months)
    .bind(reached.iter().map(|one| one.mark).collect::<Vec<_>>())
    .fetch_all(&mut *connection)
    .await?;
    // A batch may reach a mark twice, if a refund comes between.
    let mut new: HashSet<_> = new.into_iter().collect();
    let told =
        reached.iter().filter(|one| new.remove(&(one.fact.account_key, one.month, one.mark)));
    let facts: Vec<Fact> = told.map(|one| one.fact.clone()).collect();
    outbox::add(connection, &facts).await?;
    sqlx::query(
        "/* budget_marks::tell: earlier months */ DELETE FROM budget_marks AS earlier
         USING unnest($1::integer[], $2::date[]) AS present (account_key, month)
         WHERE earlier.account_key = present.account_key AND earlier.month < present.month",
    )
    .bind(&account_keys)
    .bind(&months)
    .execute(connection)
    .await?;
    Ok(())
}
