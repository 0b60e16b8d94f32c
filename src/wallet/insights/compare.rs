//! Compares the plans: what the calls of each account's last whole cycle would have cost under each
//! of them. Calls are priced again one by one, by the rating that charged them.
//!
//! Compared are accounts whose cycle went beyond its allowance, and accounts without a plan by the
//! calls of 30 days. For others there is nothing to compare.

use std::time::Duration;

use callmeter_core::domain::{
    CatalogHistory, CatalogVersion, Cycle, Money, Overage, Plan, ZeroDurationCompleted,
};
use callmeter_core::rating::UnderPlan;
use chrono::{DateTime, NaiveDate, Utc};
use futures::FutureExt;
use serde::Serialize;
use tokio::time::Instant;

use super::keep::sum_up;
use crate::ledger::LedgerError;
use crate::ledger::catalogs;
use crate::ledger::insights::comparisons::{self, ComparedPlan, Comparison, Period};
use crate::ledger::insights::{Days, USUAL_DAYS, read};
use crate::ledger::store::Store;
use crate::ledger::subscriptions;

/// Accounts read at once.
const ACCOUNTS_MAX: i64 = 500;
/// Calls in memory at once.
const CALLS_MAX: i64 = 2_000;
/// The shortest pause between two accounts that were priced again.
const PAUSE_MIN: Duration = Duration::from_millis(2);

/// What a run did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Compared {
    /// Accounts with calls.
    pub accounts: u64,
    /// Those whose calls were priced again; the others had nothing new.
    pub priced_again: u64,
    /// Their calls.
    pub calls: i64,
}

/// Compares plans.
#[derive(Clone, Debug)]
pub struct PlanComparer {
    store: Store,
    zero_duration: ZeroDurationCompleted,
}

impl PlanComparer {
    /// Prices calls of 0 seconds as the setting says.
    pub const fn new(store: Store, zero_duration: ZeroDurationCompleted) -> Self {
        Self { store, zero_duration }
    }

    /// Compares every account, and keeps the results with the day. It first adds up the sums, by which
    /// it soon sees whose cycle went beyond its allowance, and rests as long as it works.
    ///
    /// # Errors
    /// If Postgres fails, or holds a value that cannot be read; accounts before that are compared.
    pub async fn run(&self, now: DateTime<Utc>) -> Result<Compared, LedgerError> {
        sum_up(&self.store).await?;
        let history = catalogs::load_history(&mut *self.store.read().await?).await?;
        let mut compared = Compared::default();
        let Some(history) = history else { return Ok(compared) };
        let mut above = 0;
        loop {
            let mut connection = self.store.read().await?;
            let accounts =
                comparisons::accounts_with_calls(&mut connection, above, ACCOUNTS_MAX).await?;
            drop(connection);
            let Some(last) = accounts.last() else { return Ok(compared) };
            above = *last;
            for account_key in accounts {
                compared.accounts += 1;
                let begun = Instant::now();
                if let Some(calls) = self.compare(account_key, &history, now).await? {
                    compared.priced_again += 1;
                    compared.calls += calls;
                    tokio::time::sleep(begun.elapsed().max(PAUSE_MIN)).await;
                }
            }
        }
    }

    /// Compares one account; returns its calls if they were priced again.
    async fn compare(
        &self,
        account_key: i32,
        history: &CatalogHistory,
        now: DateTime<Utc>,
    ) -> Result<Option<i64>, LedgerError> {
        let mut connection = self.store.read().await?;
        let timeline = subscriptions::timeline(&mut connection, account_key).await?;
        let kept = comparisons::find(&mut connection, account_key).await?;
        let (today, catalog) = (now.date_naive(), history.at(now));
        let mut wanted = None;
        if timeline.in_force(now).is_none() {
            let days = Days::full_before(today, USUAL_DAYS);
            let (begins_at, ends_at) = (days.begins_at(), days.ends_at());
            wanted = Some(Period { begins_at, ends_at, of: None });
        } else if let Some(last) = timeline.last_whole_cycle(now) {
            let (id, start) = (last.subscription.id, last.cycle.start);
            let cycle = read::cycle(&mut connection, account_key, id, start).await?;
            if let (calls, true) = cycle {
                let of = Some((id, last.plan.clone()));
                let period = Period { begins_at: start, ends_at: last.cycle.end, of };
                let is_right = |kept: &Comparison| {
                    kept.period == period && kept.calls == calls && kept.catalog == catalog.version
                };
                if kept.as_ref().is_some_and(is_right) {
                    drop(connection);
                    self.confirm(account_key, today).await?;
                    return Ok(None);
                }
                wanted = Some(period);
            }
        }
        drop(connection);
        let compared = match wanted {
            Some(period) => self.price(account_key, history, period, now).await?,
            None => None,
        };
        let Some(comparison) = compared else {
            if kept.is_some() {
                self.forget(account_key).await?;
            }
            return Ok(None);
        };
        self.keep(account_key, &comparison).await?;
        Ok(Some(comparison.calls))
    }

    /// Prices the calls of a period under each plan; `None`: there are none, or no plan.
    async fn price(
        &self,
        account_key: i32,
        history: &CatalogHistory,
        period: Period,
        now: DateTime<Utc>,
    ) -> Result<Option<Comparison>, LedgerError> {
        let catalog = history.at(now);
        let cycle = Cycle { start: period.begins_at, end: period.ends_at };
        let plans: Vec<&Plan> = catalog.catalog.plans.values().collect();
        let mut under = begin(&plans, catalog.version, cycle);
        let own_plan = period.of.as_ref().and_then(|(_, plan)| history.plan_at(plan, cycle.start));
        let mut paid = own_plan.map_or(Money::ZERO, |(_, plan)| plan.monthly_fee);
        let (mut count, mut above) = (0_i64, 0_i64);
        loop {
            let mut connection = self.store.read().await?;
            let calls =
                comparisons::calls(&mut connection, account_key, &period, above, CALLS_MAX).await?;
            drop(connection);
            let Some(last) = calls.last() else { break };
            above = last.charge_sequence;
            for priced in &calls {
                count += 1;
                paid = paid.checked_add(priced.amount).ok_or_else(out_of_range)?;
                for plan in &mut under {
                    let added = plan.add(&priced.call, self.zero_duration);
                    added.map_err(|error| LedgerError::unreadable("a charge", error))?;
                }
            }
        }
        if count == 0 || under.is_empty() {
            return Ok(None);
        }
        let plans = under.iter().map(compared).collect::<Result<Vec<_>, LedgerError>>()?;
        let compared_on = now.date_naive();
        let (calls, catalog) = (count, catalog.version);
        Ok(Some(Comparison { compared_on, catalog, period, calls, paid, plans }))
    }

    async fn keep(&self, account_key: i32, comparison: &Comparison) -> Result<(), LedgerError> {
        let kept = self.store.transact("comparisons::keep", |connection| {
            let comparison = comparison.clone();
            async move { comparisons::keep(connection, account_key, &comparison).await }.boxed()
        });
        kept.await
    }

    async fn confirm(&self, account_key: i32, on: NaiveDate) -> Result<(), LedgerError> {
        let confirmed = self.store.transact("comparisons::confirm", |connection| {
            async move { comparisons::confirm(connection, account_key, on).await }.boxed()
        });
        confirmed.await
    }

    async fn forget(&self, account_key: i32) -> Result<(), LedgerError> {
        let forgotten = self.store.transact("comparisons::forget", |connection| {
            async move { comparisons::forget(connection, account_key).await }.boxed()
        });
        forgotten.await
    }
}

fn begin<'a>(plans: &[&'a Plan], version: CatalogVersion, cycle: Cycle) -> Vec<UnderPlan<'a>> {
    plans.iter().map(|plan| UnderPlan::new(version, plan, cycle)).collect()
}

fn compared(under: &UnderPlan<'_>) -> Result<ComparedPlan, LedgerError> {
    let plan = under.plan();
    Ok(ComparedPlan {
        plan: plan.id.clone(),
        name: plan.name.clone(),
        fee: plan.monthly_fee,
        included_seconds: i64::try_from(plan.included_seconds).map_err(|_| out_of_range())?,
        overage_seconds: i64::try_from(under.overage_seconds()).map_err(|_| out_of_range())?,
        overage: under.overage(),
        refuses_overage: plan.overage == Overage::Block && under.overage_seconds() > 0,
    })
}

fn out_of_range() -> LedgerError {
    LedgerError::unreadable("the calls of a cycle", "their sum is out of range")
}
