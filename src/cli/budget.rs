//! `callmeter account alerts` and `account budget`: show and set what an account is told, and what it
//! may spend.

use callmeter_core::domain::{AccountId, Money};
use callmeter_core::policy::budget::Budget;
use chrono::{DateTime, Utc};
use clap::Args;

use super::actor::Reason;
use super::error::unknown;
use super::{CommandError, print};
use crate::accounts::UnknownAccount;
use crate::accounts::alerts::{SetAlerts, THRESHOLDS_MAX};
use crate::accounts::budget::{PERCENT_MAX, PERCENTS_MAX, SetBudget};
use crate::change::Changes;
use crate::json::{AlertsJson, BudgetJson};
use crate::ledger::store::Store;
use crate::ledger::{accounts, alerts, watched};

#[derive(Debug, Args)]
pub(super) struct AlertsArguments {
    /// The account's id
    id: AccountId,
    /// Replaces the thresholds: dollars, separated by commas
    #[arg(long, value_name = "DOLLARS", value_delimiter = ',', value_parser = threshold)]
    set: Vec<Money>,
    /// Removes all thresholds; an empty wallet is still told
    #[arg(long, conflicts_with = "set")]
    clear: bool,
    #[command(flatten)]
    why: Reason,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct BudgetArguments {
    /// The account's id
    id: AccountId,
    /// Sets the budget of a UTC month
    #[arg(long, value_name = "DOLLARS", value_parser = monthly)]
    monthly: Option<Money>,
    /// Percents that are warned of, rising, separated by commas
    #[arg(long, value_name = "PERCENTS", value_delimiter = ',', requires = "monthly",
        value_parser = clap::value_parser!(i16).range(1..=i64::from(PERCENT_MAX)))]
    warn_at: Vec<i16>,
    /// Denies new calls once the budget is spent
    #[arg(long, requires = "monthly")]
    stop: bool,
    /// Removes the budget
    #[arg(long, conflicts_with_all = ["monthly", "warn_at", "stop"])]
    remove: bool,
    #[command(flatten)]
    why: Reason,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

fn threshold(text: &str) -> Result<Money, String> {
    let amount = Money::parse(text).map_err(|error| error.to_string())?;
    if amount.is_negative() || amount.micros() % 10_000 != 0 || amount > Money::EXACT_IN_LUA {
        return Err("is not dollars with at most two places".to_owned());
    }
    Ok(amount)
}

fn monthly(text: &str) -> Result<Money, String> {
    let amount = Money::parse(text).map_err(|error| error.to_string())?;
    if !amount.is_positive() || amount > Money::EXACT_IN_LUA {
        return Err("is zero, negative or too much".to_owned());
    }
    Ok(amount)
}

async fn key_of(store: &Store, id: &AccountId) -> Result<i32, CommandError> {
    let account_key = accounts::key_of(&mut *store.read().await?, id).await?;
    account_key.ok_or_else(|| unknown(id))
}

impl AlertsArguments {
    pub(super) async fn run(
        self,
        changes: &Changes,
        store: &Store,
        now: DateTime<Utc>,
    ) -> Result<(), CommandError> {
        let mut sorted = self.set.clone();
        sorted.sort_unstable();
        if sorted.windows(2).any(|two| two[0] == two[1]) || sorted.len() > THRESHOLDS_MAX {
            let fault = format!("--set takes at most {THRESHOLDS_MAX} different amounts");
            return Err(CommandError::Usage(fault));
        }
        let thresholds = if self.clear || !self.set.is_empty() {
            let change = SetAlerts { account: self.id.clone(), thresholds: self.set };
            let set = changes.run(change, self.why.by(now)).await?;
            set.map_err(|UnknownAccount| unknown(&self.id))?
        } else {
            let account_key = key_of(store, &self.id).await?;
            alerts::find(&mut *store.read().await?, account_key).await?
        };
        if self.json {
            return print(&serde_json::json!(AlertsJson { thresholds }).to_string());
        }
        let all: Vec<String> = thresholds.iter().map(ToString::to_string).collect();
        let told = if all.is_empty() { "no threshold".to_owned() } else { all.join(", ") };
        print(&format!("{} is told below: {told}", self.id))
    }
}

impl BudgetArguments {
    pub(super) async fn run(
        self,
        changes: &Changes,
        store: &Store,
        now: DateTime<Utc>,
    ) -> Result<(), CommandError> {
        let is_rising = self.warn_at.is_sorted_by(|one, next| one < next);
        if !is_rising || self.warn_at.len() > PERCENTS_MAX {
            let fault = format!("--warn-at takes at most {PERCENTS_MAX} rising percents");
            return Err(CommandError::Usage(fault));
        }
        let (warn_at_percent, stop) = (self.warn_at, self.stop);
        let budget = self.monthly.map(|monthly| Budget { monthly, warn_at_percent, stop });
        let watched = if budget.is_some() || self.remove {
            let change = SetBudget { account: self.id.clone(), budget };
            let set = changes.run(change, self.why.by(now)).await?;
            set.map_err(|UnknownAccount| unknown(&self.id))?
        } else {
            let account_key = key_of(store, &self.id).await?;
            watched::find(&mut *store.read().await?, account_key).await?
        };
        let shown = BudgetJson::new(&watched, now);
        if self.json {
            return print(&serde_json::json!(shown).to_string());
        }
        print(&text(&self.id, &shown))
    }
}

fn text(id: &AccountId, shown: &BudgetJson) -> String {
    let or_none = |amount: Option<Money>| amount.map_or("-".to_owned(), |it| it.to_string());
    let percents: Vec<String> = shown.warn_at_percent.iter().map(ToString::to_string).collect();
    let calls = if shown.stop { "new calls are denied" } else { "calls go on" };
    let rows = [
        ("account", id.to_string()),
        ("budget", or_none(shown.monthly)),
        ("warned at", if percents.is_empty() { "-".to_owned() } else { percents.join(", ") }),
        ("once spent", calls.to_owned()),
        ("spent", format!("{} in {}", shown.spent, shown.month)),
        ("forecast", or_none(shown.forecast)),
        ("resets at", shown.resets_at.to_string()),
    ];
    rows.map(|(name, value)| format!("{name:<14}{value}")).join("\n")
}
