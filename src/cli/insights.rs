//! `callmeter account insights` and `callmeter insights`: where an account's money went, and the read
//! models behind that.

use std::fmt::Write as _;

use callmeter_core::domain::{AccountId, Money};
use chrono::{DateTime, NaiveDate, Utc};
use clap::{Args, Subcommand};
use serde_json::json;

use super::error::{refused, unknown};
use super::{CommandError, open, print};
use crate::app::one_line;
use crate::balance::{Balance, BalanceError};
use crate::config::Settings;
use crate::ledger::insights::Days;
use crate::ledger::schema;
use crate::ledger::store::Store;
use crate::wallet::Wallets;
use crate::wallet::insights::{InsightsView, PlanComparer, rebuild, sum_up};

#[derive(Debug, Args)]
pub(super) struct InsightsArguments {
    /// The account's id
    id: AccountId,
    /// First UTC day; default: 30 days
    #[arg(long, value_name = "DAY")]
    from: Option<NaiveDate>,
    /// Last UTC day, included; default: today
    #[arg(long, value_name = "DAY")]
    to: Option<NaiveDate>,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum Insights {
    /// Adds up what the jobs have not added up yet, and compares the plans
    Update(Update),
}

#[derive(Debug, Args)]
pub(super) struct Update {
    /// Empties the sums first, and adds them up again from the ledger
    #[arg(long)]
    rebuild: bool,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(command: Insights, settings: &Settings) -> Result<(), CommandError> {
    let Insights::Update(command) = command;
    let store = open(settings)?;
    schema::check(&store).await?;
    let summed = if command.rebuild { rebuild(&store).await? } else { sum_up(&store).await? };
    let plans = PlanComparer::new(store, settings.charging.zero_duration_completed);
    let compared = plans.run(settings.clock().now()).await?;
    if command.json {
        return print(&json!({ "summed": summed, "compared": compared }).to_string());
    }
    let told = format!(
        "{} rows added up; {} accounts with calls, plans compared anew for {} with {} calls",
        summed.rows, compared.accounts, compared.priced_again, compared.calls
    );
    print(&told)
}

impl InsightsArguments {
    pub(super) async fn run(
        self,
        settings: &Settings,
        store: Store,
        balance: Balance,
        now: DateTime<Utc>,
    ) -> Result<(), CommandError> {
        let days = Days::new(self.from, self.to, now.date_naive());
        let days = days.map_err(|fault| CommandError::Usage(format!("--from {fault}")))?;
        let wallets = Wallets::new(store, balance, settings.wallet.low_balance_threshold);
        let view = wallets.insights(&self.id, days, now).await.map_err(|error| match error {
            BalanceError::Ledger(error) => CommandError::from(error),
            error => refused(one_line(&error)),
        })?;
        let view = view.ok_or_else(|| unknown(&self.id))?;
        print(&if self.json { json!(view).to_string() } else { text(&view) })
    }
}

fn text(view: &InsightsView) -> String {
    let or_none = |number: Option<i64>, unit: &str| {
        number.map_or("-".to_owned(), |number| format!("{number} {unit}"))
    };
    let mut shown = format!("{:<20}{} to {}\n", "days", view.from, view.to);
    let mut line = |name: &str, value: String| {
        let _ = writeln!(shown, "{name:<20}{value}");
    };
    for of in &view.by_day {
        line(
            &of.date.to_string(),
            format!("{:<20}{:>16}", of.kind.as_str(), of.amount.to_string()),
        );
    }
    let sum = view.by_day.iter().try_fold(Money::ZERO, |sum, of| sum.checked_add(of.amount));
    line("spent", sum.unwrap_or_default().to_string());
    line("lasts for", or_none(view.runway_days, "days"));
    line("calls", view.calls.to_string());
    line("on average", or_none(view.average_seconds, "s"));
    let (rounding, minute) = (&view.rounding, 60);
    let (talked, billed) = (rounding.talked_seconds / minute, rounding.billed_seconds / minute);
    line("rounding", format!("{talked} min talked, {billed} billed, {}", rounding.cost));
    for cycle in &view.overage_by_cycle {
        let (from, to) = (cycle.cycle_start.date_naive(), cycle.cycle_end.date_naive());
        line("overage", format!("{from} to {to}: {} min, {}", cycle.minutes, cycle.amount));
    }
    if let (Some(as_of), Some(of)) = (view.plans_as_of, &view.plans_for) {
        let own = of.plan.as_ref().map_or("no plan", |plan| plan.as_str());
        line("compared", format!("{as_of}: {} calls, {} paid with {own}", of.calls, of.paid));
    }
    for plan in &view.plans {
        let plan_id = format!("  {}", plan.plan);
        line(&plan_id, format!("{} in all, {} less", plan.total, plan.saving));
    }
    for refused in &view.refused {
        line("refused", format!("{}: {}", refused.reason, refused.count));
    }
    shown.trim_end().to_owned()
}
