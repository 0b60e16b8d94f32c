//! The calls of a period under each plan: what the daily job reads, and what it keeps.

use callmeter_core::domain::{Call, CallSid, CatalogVersion, Money, PlanId, SubscriptionId};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use crate::ledger::error::LedgerError;
use crate::ledger::store::StoreError;

/// How much earlier than its start a call may be charged, at most: a call whose end Twilio dated
/// ahead. Older months of charges are not read.
const CHARGED_AHEAD_MAX: TimeDelta = TimeDelta::days(32);

/// The calls that are compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Period {
    /// Start, inclusive.
    pub begins_at: DateTime<Utc>,
    /// End, exclusive.
    pub ends_at: DateTime<Utc>,
    /// The subscription and the plan whose cycle it is; `None`: the calls without a plan that began
    /// in it.
    pub of: Option<(SubscriptionId, PlanId)>,
}

/// A charged call, as it is priced again.
#[derive(Clone, Debug)]
pub struct PricedCall {
    /// Its number.
    pub charge_sequence: i64,
    /// The call. Of a redacted number only the prefix is there that gave its rate.
    pub call: Call,
    /// What the wallet paid.
    pub amount: Money,
}

/// What the calls of a period cost, and what they would cost under each plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// UTC day of the run.
    pub compared_on: NaiveDate,
    /// The catalog of the plans.
    pub catalog: CatalogVersion,
    /// The calls.
    pub period: Period,
    /// How many they are.
    pub calls: i64,
    /// The fee of the plan, and what the wallet paid.
    pub paid: Money,
    /// Each plan, the cheapest first; last those that refuse overage.
    pub plans: Vec<ComparedPlan>,
}

/// The calls under one plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComparedPlan {
    /// The plan.
    pub plan: PlanId,
    /// Its name for customers.
    pub name: String,
    /// Its monthly fee.
    pub fee: Money,
    /// Seconds that it includes.
    pub included_seconds: i64,
    /// Seconds beyond its included minutes.
    pub overage_seconds: i64,
    /// What the wallet would have paid for them.
    pub overage: Money,
    /// True if the plan refuses calls beyond its minutes, and these calls went beyond them: it is
    /// no choice for them.
    pub refuses_overage: bool,
}

impl ComparedPlan {
    /// The fee and the overage.
    pub fn total(&self) -> Money {
        self.fee.checked_add(self.overage).unwrap_or(Money::from_micros(i64::MAX))
    }
}

/// Accounts with charges, above a key, in the order of keys.
///
/// # Errors
/// If Postgres fails.
pub async fn accounts_with_calls(
    connection: &mut PgConnection,
    above: i32,
    limit: i64,
) -> Result<Vec<i32>, StoreError> {
    let keys = sqlx::query_scalar(
        "/* comparisons::accounts_with_calls */
         SELECT account_key FROM wallets WHERE account_key > $1 AND charge_sequence > 0
         ORDER BY account_key LIMIT $2",
    );
    Ok(keys.bind(above).bind(limit).fetch_all(connection).await?)
}

/// The next calls of a period above a number, in the order in which they were charged.
///
/// # Errors
/// `Unreadable` if a charge holds what this program never writes.
pub async fn calls(
    connection: &mut PgConnection,
    account_key: i32,
    period: &Period,
    above: i64,
    limit: i64,
) -> Result<Vec<PricedCall>, LedgerError> {
    let rows = sqlx::query(
        "/* comparisons::calls */
         SELECT charge_sequence, call_sid, parent_call_sid, call_from, call_to, direction,
             matched_prefix, started_at, seconds, amount_micros
         FROM charges
         WHERE account_key = $1 AND charge_sequence > $2 AND charged_at >= $3
             AND CASE WHEN $4::bigint IS NULL
                 THEN subscription_id IS NULL AND started_at >= $5 AND started_at < $6
                 ELSE subscription_id = $4 AND cycle_start = $5 END
         ORDER BY charge_sequence LIMIT $7",
    )
    .bind(account_key)
    .bind(above)
    .bind(period.begins_at - CHARGED_AHEAD_MAX)
    .bind(period.of.as_ref().map(|(subscription, _)| subscription.0))
    .bind(period.begins_at)
    .bind(period.ends_at)
    .bind(limit)
    .fetch_all(connection)
    .await?;
    rows.iter().map(read_call).collect()
}

fn read_call(row: &PgRow) -> Result<PricedCall, LedgerError> {
    let text = |name: &str| row.try_get::<Option<String>, _>(name);
    let boxed = |text: Option<String>| text.map(String::into_boxed_str);
    let prefix = text("matched_prefix")?;
    let number = |stored: Option<String>| match stored.as_deref() {
        // Redacted: the matched prefix stands for the number.
        Some("") => boxed(prefix.clone()),
        _ => boxed(stored),
    };
    let sid: String = row.try_get("call_sid")?;
    let seconds: i32 = row.try_get("seconds")?;
    let unreadable = |problem| LedgerError::unreadable("a charge", problem);
    let seconds = u32::try_from(seconds).map_err(|error| unreadable(error.to_string()))?;
    let started_at: DateTime<Utc> = row.try_get("started_at")?;
    Ok(PricedCall {
        charge_sequence: row.try_get("charge_sequence")?,
        call: Call {
            call_sid: CallSid::parse(&sid).map_err(|error| unreadable(error.to_string()))?,
            parent_call_sid: boxed(text("parent_call_sid")?),
            from: number(text("call_from")?),
            to: number(text("call_to")?),
            direction: boxed(text("direction")?),
            ended_at: started_at + TimeDelta::seconds(seconds.into()),
            seconds,
            twilio_minutes: None,
            tag: None,
        },
        amount: Money::from_micros(row.try_get("amount_micros")?),
    })
}

/// Finds the comparison of an account; `None`: its calls were never compared, or there is nothing to
/// compare.
///
/// # Errors
/// `Unreadable` if a row holds what this program never writes.
pub async fn find(
    connection: &mut PgConnection,
    account_key: i32,
) -> Result<Option<Comparison>, LedgerError> {
    let rows = sqlx::query(
        "/* comparisons::find */
         SELECT c.compared_on, c.catalog_version, c.begins_at, c.ends_at, c.subscription_id,
             c.plan AS own_plan, c.calls, c.paid_micros,
             p.plan, p.name, p.fee_micros, p.included_seconds, p.overage_seconds, p.overage_micros,
             p.refuses_overage
         FROM plan_comparisons AS c LEFT JOIN compared_plans AS p USING (account_key)
         WHERE account_key = $1 
         ORDER BY p.refuses_overage, p.fee_micros + p.overage_micros, p.fee_micros, p.plan",
    )
    .bind(account_key)
    .fetch_all(connection)
    .await?;
    let Some(first) = rows.first() else { return Ok(None) };
    let plan_id = |text: String| {
        PlanId::parse(&text).map_err(|error| LedgerError::unreadable("a compared plan", error))
    };
    let subscription: Option<i64> = first.try_get("subscription_id")?;
    let own_plan = first.try_get::<Option<String>, _>("own_plan")?.map(plan_id).transpose()?;
    let mut plans = Vec::with_capacity(rows.len());
    for row in &rows {
        let Some(plan) = row.try_get("plan")? else { continue };
        plans.push(ComparedPlan {
            plan: plan_id(plan)?,
            name: row.try_get("name")?,
            fee: Money::from_micros(row.try_get("fee_micros")?),
            included_seconds: row.try_get("included_seconds")?,
            overage_seconds: row.try_get("overage_seconds")?,
            overage: Money::from_micros(row.try_get("overage_micros")?),
            refuses_overage: row.try_get("refuses_overage")?,
        });
    }
    Ok(Some(Comparison {
        compared_on: first.try_get("compared_on")?,
        catalog: CatalogVersion(first.try_get("catalog_version")?),
        period: Period {
            begins_at: first.try_get("begins_at")?,
            ends_at: first.try_get("ends_at")?,
            of: subscription.map(SubscriptionId).zip(own_plan),
        },
        calls: first.try_get("calls")?,
        paid: Money::from_micros(first.try_get("paid_micros")?),
        plans,
    }))
}

/// Keeps the comparison of an account, instead of an earlier one.
///
/// # Errors
/// If Postgres fails.
pub async fn keep(
    connection: &mut PgConnection,
    account_key: i32,
    comparison: &Comparison,
) -> Result<(), LedgerError> {
    let of = comparison.period.of.as_ref();
    sqlx::query(
        "/* comparisons::keep */
         INSERT INTO plan_comparisons (account_key, compared_on, catalog_version, begins_at, ends_at,
             subscription_id, plan, calls, paid_micros)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         ON CONFLICT ON CONSTRAINT plan_comparisons_pk DO UPDATE
         SET compared_on = EXCLUDED.compared_on, catalog_version = EXCLUDED.catalog_version,
             begins_at = EXCLUDED.begins_at, ends_at = EXCLUDED.ends_at,
             subscription_id = EXCLUDED.subscription_id, plan = EXCLUDED.plan,
             calls = EXCLUDED.calls, paid_micros = EXCLUDED.paid_micros",
    )
    .bind(account_key)
    .bind(comparison.compared_on)
    .bind(comparison.catalog.0)
    .bind(comparison.period.begins_at)
    .bind(comparison.period.ends_at)
    .bind(of.map(|(subscription, _)| subscription.0))
    .bind(of.map(|(_, plan)| plan.as_str()))
    .bind(comparison.calls)
    .bind(comparison.paid.micros())
    .execute(&mut *connection)
    .await?;
    let each = |value: fn(&ComparedPlan) -> i64| -> Vec<i64> {
        comparison.plans.iter().map(value).collect()
    };
    sqlx::query(
        "/* comparisons::keep, plans */
         WITH given AS (
             SELECT * FROM unnest($2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[],
                 $7::bigint[], $8::boolean[])
                 AS g (plan, name, fee_micros, included_seconds, overage_seconds, overage_micros,
                     refuses_overage)),
         gone AS (
             DELETE FROM compared_plans
             WHERE account_key = $1 AND plan NOT IN (SELECT plan FROM given))
         INSERT INTO compared_plans (account_key, plan, name, fee_micros, included_seconds,
             overage_seconds, overage_micros, refuses_overage)
         SELECT $1, plan, name, fee_micros, included_seconds, overage_seconds, overage_micros,
             refuses_overage
         FROM given
         ON CONFLICT ON CONSTRAINT compared_plans_pk DO UPDATE
         SET name = EXCLUDED.name, fee_micros = EXCLUDED.fee_micros,
             included_seconds = EXCLUDED.included_seconds,
             overage_seconds = EXCLUDED.overage_seconds, overage_micros = EXCLUDED.overage_micros,
             refuses_overage = EXCLUDED.refuses_overage",
    )
    .bind(account_key)
    .bind(comparison.plans.iter().map(|plan| plan.plan.as_str()).collect::<Vec<_>>())
    .bind(comparison.plans.iter().map(|plan| plan.name.as_str()).collect::<Vec<_>>())
    .bind(each(|plan| plan.fee.micros()))
    .bind(each(|plan| plan.included_seconds))
    .bind(each(|plan| plan.overage_seconds))
    .bind(each(|plan| plan.overage.micros()))
    .bind(comparison.plans.iter().map(|plan| plan.refuses_overage).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

/// Notes that the comparison of an account is still right.
///
/// # Errors
/// If Postgres fails.
pub async fn confirm(
    connection: &mut PgConnection,
    account_key: i32,
    on: NaiveDate,
) -> Result<(), LedgerError> {
    sqlx::query(
        "/* comparisons::confirm */
         UPDATE plan_comparisons SET compared_on = $2 WHERE account_key = $1 AND compared_on < $2",
    )
    .bind(account_key)
    .bind(on)
    .execute(connection)
    .await?;
    Ok(())
}

/// Forgets the comparison of an account: there is nothing to compare any more.
///
/// # Errors
/// If Postgres fails.
pub async fn forget(connection: &mut PgConnection, account_key: i32) -> Result<(), LedgerError> {
    let statement = "/* comparisons::forget */ DELETE FROM plan_comparisons WHERE account_key = $1";
    sqlx::query(statement).bind(account_key).execute(connection).await?;
    Ok(())
}
