//! The insights of an account, as its page and `GET …/insights` show them.

use callmeter_core::domain::{AccountId, Money, PlanId, TransactionKind};
use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;
use sqlx::PgConnection;
use utoipa::ToSchema;

use crate::json::schema;
use crate::ledger::LedgerError;
use crate::ledger::entries;
use crate::ledger::insights::comparisons::{self, ComparedPlan, Comparison};
use crate::ledger::insights::read::{self, Counted, CycleUsage};
use crate::ledger::insights::{Days, comparisons::Period};
use crate::ledger::store::{Begin, Store};
use crate::ledger::subscriptions;

/// Full days whose spending is the pace.
const PACE_DAYS: u64 = 7;
const SECONDS_PER_MINUTE: i64 = 60;

/// Where an account's money went, and how far it reaches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Insights)]
pub struct InsightsView {
    /// The first UTC day.
    pub from: NaiveDate,
    /// The last one, included.
    pub to: NaiveDate,
    /// What was spent: completed debits other than adjustments, chargebacks and refunds to a card,
    /// less refunds. By UTC day and kind, days in order; only where something was spent.
    pub by_day: Vec<DaySpending>,
    /// For how many whole days what is available lasts at the pace of the last 7 full UTC days; null
    /// if nothing was spent in them.
    #[schema(minimum = 0)]
    pub runway_days: Option<i64>,
    /// Charged calls of these days, zero-cost ones too.
    #[schema(minimum = 0)]
    pub calls: i64,
    /// How long they lasted on average, rounded to whole seconds; null without calls.
    #[schema(minimum = 0)]
    pub average_seconds: Option<i64>,
    /// What whole increments cost.
    pub rounding: Rounding,
    /// Cycles with calls that touch these days, each whole, in order.
    pub overage_by_cycle: Vec<CycleOverage>,
    /// The calls of `plans_for` under each plan of the catalog, the cheapest first; last those that
    /// refuse overage. Empty if they were not compared.
    pub plans: Vec<PlanCost>,
    /// UTC day of the comparison; null: there is none, because the last whole cycle had no overage,
    /// or the daily job has not run since.
    pub plans_as_of: Option<NaiveDate>,
    /// The compared calls; null: there are none.
    pub plans_for: Option<PlansFor>,
    /// Refused calls of the last 30 UTC days by reason, most first, whatever days were asked for.
    pub refused: Vec<Refused>,
}

/// What was spent on a day on one kind of transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct DaySpending {
    /// The UTC day.
    pub date: NaiveDate,
    /// A debit, or `refund`.
    #[schema(value_type = schema::TransactionKind)]
    pub kind: TransactionKind,
    /// The sum; `refund` is negative.
    #[schema(value_type = schema::Amount)]
    pub amount: Money,
}

/// What whole increments cost, over the calls that were billed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Rounding {
    /// Seconds that the calls lasted.
    #[schema(minimum = 0)]
    pub talked_seconds: i64,
    /// Seconds that were billed.
    #[schema(minimum = 0)]
    pub billed_seconds: i64,
    /// What the wallet paid for seconds that were billed and not talked. Those that the allowance
    /// paid cost nothing.
    #[schema(value_type = schema::Amount)]
    pub cost: Money,
}

/// A cycle beyond its allowance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct CycleOverage {
    /// The start, included.
    pub cycle_start: DateTime<Utc>,
    /// The end, excluded.
    pub cycle_end: DateTime<Utc>,
    /// Minutes beyond the allowance, rounded up.
    #[schema(minimum = 0)]
    pub minutes: i64,
    /// What the wallet paid for them.
    #[schema(value_type = schema::Amount)]
    pub amount: Money,
}

/// The compared calls under one plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct PlanCost {
    /// The plan.
    #[schema(value_type = schema::PlanId)]
    pub plan: PlanId,
    /// Its name for customers.
    pub name: String,
    /// Its fee, of the catalog at the comparison.
    #[schema(value_type = schema::Amount)]
    pub monthly_fee: Money,
    /// Minutes that it includes.
    #[schema(minimum = 0)]
    pub included_minutes: i64,
    /// Minutes beyond its included ones, rounded up.
    #[schema(minimum = 0)]
    pub overage_minutes: i64,
    /// What the wallet would have paid for them.
    #[schema(value_type = schema::Amount)]
    pub overage: Money,
    /// Fee and overage.
    #[schema(value_type = schema::Amount)]
    pub total: Money,
    /// What was paid less the total; negative if the plan is dearer.
    #[schema(value_type = schema::Amount)]
    pub saving: Money,
    /// True if the plan refuses calls beyond its minutes, and these calls went beyond them: the
    /// figures are those of calls that were made all the same.
    pub refuses_overage: bool,
}

/// The compared calls: those of the last whole cycle, or without a plan of 30 UTC days.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct PlansFor {
    /// Start of the cycle, or of the days.
    pub begins_at: DateTime<Utc>,
    /// The end, excluded.
    pub ends_at: DateTime<Utc>,
    /// The plan of the cycle; null: none.
    #[schema(value_type = Option<schema::PlanId>)]
    pub plan: Option<PlanId>,
    /// How many they are.
    #[schema(minimum = 0)]
    pub calls: i64,
    /// The fee of that plan, and what the wallet paid for the calls.
    #[schema(value_type = schema::Amount)]
    pub paid: Money,
}

/// Refused calls of one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Refused {
    /// The reason.
    #[schema(value_type = schema::DenialReason)]
    pub reason: String,
    /// How many they are.
    #[schema(minimum = 0)]
    pub count: i64,
}

/// What is read in one snapshot.
struct Read {
    view: InsightsView,
    /// What the last full days cost together.
    pace: Money,
}

/// Reads the insights of some days; `available` is what can be spent now. `None`: there is no such
/// account.
///
/// # Errors
/// If Postgres is unavailable, or holds a value that cannot be read.
pub(in crate::wallet) async fn insights(
    store: &Store,
    id: &AccountId,
    days: Days,
    available: Money,
    now: DateTime<Utc>,
) -> Result<Option<InsightsView>, LedgerError> {
    let mut reserved = store.for_transaction().await?;
    let mut snapshot = reserved.begin(Begin::Snapshot).await?;
    let read = match read::counted(&mut snapshot, id).await? {
        Some(counted) => Some(read_all(&mut snapshot, counted, days, now).await?),
        None => None,
    };
    snapshot.rollback().await?;
    Ok(read.map(|Read { view, pace }| InsightsView {
        runway_days: runway_days(available, pace),
        ..view
    }))
}

/// What the last [`PACE_DAYS`] full UTC days cost; zero if there is no such account.
///
/// # Errors
/// If Postgres is unavailable, or holds a value that cannot be read.
pub(in crate::wallet) async fn pace(
    store: &Store,
    id: &AccountId,
    now: DateTime<Utc>,
) -> Result<Money, LedgerError> {
    let mut reserved = store.for_transaction().await?;
    let mut snapshot = reserved.begin(Begin::Snapshot).await?;
    let pace = match read::counted(&mut snapshot, id).await? {
        Some(counted) => read::spent(&mut snapshot, counted, pace_days(now)).await?,
        None => Money::ZERO,
    };
    snapshot.rollback().await?;
    Ok(pace)
}

fn pace_days(now: DateTime<Utc>) -> Days {
    Days::full_before(now.date_naive(), PACE_DAYS)
}

/// Whole days, rounded down, that `available` lasts where [`PACE_DAYS`] cost `pace`.
pub(in crate::wallet) fn runway_days(available: Money, pace: Money) -> Option<i64> {
    if !pace.is_positive() {
        return None;
    }
    let days = i128::from(available.micros().max(0)) * i128::from(PACE_DAYS);
    i64::try_from(days / i128::from(pace.micros())).ok()
}

async fn read_all(
    connection: &mut PgConnection,
    counted: Counted,
    days: Days,
    now: DateTime<Utc>,
) -> Result<Read, LedgerError> {
    let by_day = read::spending_by_day(connection, counted, days).await?;
    let usage = read::usage(connection, counted, days).await?;
    let timeline = subscriptions::timeline(connection, counted.account_key).await?;
    let cycles = read::cycles(connection, counted, &timeline, days).await?;
    let pace = read::spent(connection, counted, pace_days(now)).await?;
    let comparison = comparisons::find(connection, counted.account_key).await?;
    let refused = entries::denials(connection, counted.account_key, now).await?;
    let by_day =
        by_day.iter().map(|of| DaySpending { date: of.day, kind: of.kind, amount: of.amount });
    let average = (usage.seconds + usage.calls / 2).checked_div(usage.calls);
    let view = InsightsView {
        from: days.first(),
        to: days.last(),
        by_day: by_day.collect(),
        runway_days: None,
        calls: usage.calls,
        average_seconds: average,
        rounding: Rounding {
            talked_seconds: usage.talked_seconds,
            billed_seconds: usage.billed_seconds,
            cost: usage.rounding,
        },
        overage_by_cycle: cycles.iter().map(overage).collect(),
        plans: comparison.as_ref().map_or_else(Vec::new, costs),
        plans_as_of: comparison.as_ref().map(|found| found.compared_on),
        plans_for: comparison.map(plans_for),
        refused: refused.into_iter().map(|(reason, count)| Refused { reason, count }).collect(),
    };
    Ok(Read { view, pace })
}

/// Whole minutes, rounded up.
fn minutes(seconds: i64) -> i64 {
    seconds / SECONDS_PER_MINUTE + i64::from(seconds % SECONDS_PER_MINUTE > 0)
}

fn overage(cycle: &CycleUsage) -> CycleOverage {
    CycleOverage {
        cycle_start: cycle.start,
        cycle_end: cycle.end,
        minutes: minutes(cycle.overage_seconds),
        amount: cycle.amount,
    }
}

fn costs(comparison: &Comparison) -> Vec<PlanCost> {
    let cost = |plan: &ComparedPlan| PlanCost {
        plan: plan.plan.clone(),
        name: plan.name.clone(),
        monthly_fee: plan.fee,
        included_minutes: plan.included_seconds / SECONDS_PER_MINUTE,
        overage_minutes: minutes(plan.overage_seconds),
        overage: plan.overage,
        total: plan.total(),
        saving: comparison.paid.checked_sub(plan.total()).unwrap_or_default(),
        refuses_overage: plan.refuses_overage,
    };
    comparison.plans.iter().map(cost).collect()
}

fn plans_for(comparison: Comparison) -> PlansFor {
    let Comparison { period: Period { begins_at, ends_at, of }, calls, paid, .. } = comparison;
    PlansFor { begins_at, ends_at, plan: of.map(|(_, plan)| plan), calls, paid }
}

#[cfg(test)]
mod tests {
    use super::{minutes, runway_days};
    use callmeter_core::domain::Money;

    #[test]
    fn a_runway_is_of_whole_days_and_none_without_a_pace() {
        let days = |available: &str, pace: &str| {
            let money = |text: &str| Money::parse(text).expect("an amount");
            runway_days(money(available), money(pace))
        };
        assert_eq!(days("10", "7"), Some(10));
        assert_eq!(days("9.999999", "7"), Some(9));
        assert_eq!(days("0.999999", "7"), Some(0));
        assert_eq!(days("-5", "7"), Some(0));
        assert_eq!((days("5", "0"), days("5", "-1")), (None, None));
        assert_eq!(days("9007199254.740991", "0.000001"), Some(63_050_394_783_186_937));
        assert_eq!([0, 1, 60, 61].map(minutes), [0, 1, 1, 2]);
    }
}
