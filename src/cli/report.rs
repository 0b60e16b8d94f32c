//! `callmeter report …`: figures for the books, from the ledger alone.

use std::fmt::Write as _;

use callmeter_core::domain::{AdjustmentReason, Money, TransactionKind, TransactionType};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::period::{Limit, limit, period};
use super::{CommandError, open, print};
use crate::config::Settings;
use crate::ledger::liability::{self, RollForward};
use crate::ledger::schema;

#[derive(Debug, Subcommand)]
pub(super) enum Report {
    /// Sums up all wallets at an instant, or from one day to another
    Liability(Liability),
}

#[derive(Debug, Args)]
pub(super) struct Liability {
    /// The instant; transactions at it count. A day stands for its end
    #[arg(long, value_name = "WHEN", value_parser = limit, required_unless_present = "from",
          conflicts_with_all = ["from", "to"])]
    as_of: Option<Limit>,
    /// First UTC day of a roll-forward: opening, movements by kind, closing
    #[arg(long, value_name = "DAY", requires = "to")]
    from: Option<NaiveDate>,
    /// Last UTC day, included
    #[arg(long, value_name = "DAY", requires = "from")]
    to: Option<NaiveDate>,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(command: Report, settings: &Settings) -> Result<(), CommandError> {
    let Report::Liability(command) = command;
    let store = open(settings)?;
    schema::check(&store).await?;
    let mut connection = store.read().await?;
    match (command.as_of, command.from, command.to) {
        (Some(as_of), ..) => {
            let end = match as_of {
                Limit::Day(_) => as_of.ends(),
                Limit::Instant(instant) => instant + TimeDelta::microseconds(1),
            };
            let found = liability::before(&mut connection, end).await?;
            let value = sides(&found)?;
            print(&if command.json {
                with(value, json!({ "as_of": end - TimeDelta::microseconds(1) })).to_string()
            } else {
                text(&value)
            })
        }
        (None, Some(from), Some(to)) => {
            let period = period(Limit::Day(from).begins(), Limit::Day(to).ends())?;
            let found = liability::roll_forward(&mut connection, period.from, period.to).await?;
            tell_roll_forward(&found, (from, to), period.to, command.json)
        }
        _ => Err(CommandError::Usage("give --as-of, or --from and --to".to_owned())),
    }
}

fn tell_roll_forward(
    found: &RollForward,
    (from, to): (NaiveDate, NaiveDate),
    end: DateTime<Utc>,
    is_json: bool,
) -> Result<(), CommandError> {
    let difference = found.difference().ok_or_else(out_of_range)?;
    let movements: Map<String, Value> = found
        .movements
        .iter()
        .map(|(kind, (count, amount))| {
            let direction = kind.transaction_type().as_str();
            let mut value = json!({ "type": direction, "transactions": count, "amount": amount });
            for ((_, reason), (count, amount)) in reasons(found, *kind) {
                value["by_reason"][reason.as_str()] =
                    json!({ "transactions": count, "amount": amount });
            }
            (kind.as_str().to_owned(), value)
        })
        .collect();
    let report = json!({
        "from": from, "to": to, "ends_at": end,
        "opening": sides(&found.opening)?, "movements": movements,
        "closing": sides(&found.closing)?, "difference": difference,
    });
    if is_json {
        print(&report.to_string())?;
    } else {
        let mut shown = format!("opening\n{}\n", text(&report["opening"]));
        for (kind, (count, amount)) in &found.movements {
            let sign = if kind.transaction_type() == TransactionType::Credit { '+' } else { '-' };
            let _ = writeln!(shown, "{sign} {:<24}{count:>10}{amount:>20}", kind.as_str());
            for ((_, reason), (count, amount)) in reasons(found, *kind) {
                let _ = writeln!(shown, "    {:<22}{count:>10}{amount:>20}", reason.as_str());
            }
        }
        let _ = write!(shown, "closing\n{}", text(&report["closing"]));
        print(&shown)?;
    }
    if difference.is_zero() {
        return Ok(());
    }
    let problem = format!(
        "opening and movements differ from closing by {difference}; run `callmeter verify`"
    );
    Err(CommandError::Refused(problem))
}

/// The movements of a kind that were given a reason.
fn reasons(
    found: &RollForward,
    kind: TransactionKind,
) -> impl Iterator<Item = (&(TransactionKind, AdjustmentReason), &(i64, Money))> {
    found.reasons.iter().filter(move |((of, _), _)| *of == kind)
}

fn sides(found: &liability::Liability) -> Result<Value, CommandError> {
    let side = |side: liability::Side| json!({ "wallets": side.wallets, "amount": side.amount });
    let total = found.total().ok_or_else(out_of_range)?;
    Ok(json!({
        "positive": side(found.positive), "negative": side(found.negative), "total": total,
    }))
}

fn with(mut value: Value, more: Value) -> Value {
    if let (Value::Object(value), Value::Object(more)) = (&mut value, more) {
        value.extend(more);
    }
    value
}

fn text(sides: &Value) -> String {
    let line = |name: &str, side: &Value| {
        let amount = side["amount"].as_str().unwrap_or_default();
        format!("  {name:<24}{:>10}{amount:>20}", side["wallets"].to_string())
    };
    let total = sides["total"].as_str().unwrap_or_default();
    let (positive, negative) =
        (line("above zero", &sides["positive"]), line("below zero", &sides["negative"]));
    format!("{positive}\n{negative}\n  {:<34}{total:>20}", "all wallets")
}

fn out_of_range() -> CommandError {
    CommandError::Refused("the sum of all wallets is out of range".to_owned())
}
