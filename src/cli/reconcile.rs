//! `callmeter reconcile …`: compares our charges with what others billed.

use std::fmt::Write as _;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::json;

use super::period::{Limit, days, limit};
use super::reconcile_stripe::{self, Stripe};
use super::{CommandError, open_for_accounts, print};
use crate::app::one_line;
use crate::config::Settings;
use crate::jobs::JobLock;
use crate::ledger::schema;
use crate::reconcile::{self, DayRange, DifferenceRow, Reason, ReconcileError, Reconciler, Report};

/// Longest wait for another comparison.
const PATIENCE: Duration = Duration::from_mins(10);
/// Most calls and accounts in a line of text.
const NAMED_MAX: usize = 5;

#[derive(Debug, Subcommand)]
pub(super) enum Reconcile {
    /// Compares billed minutes and money with Twilio's usage records, day by day; ends with 1 where
    /// they differ for good
    Twilio(Twilio),
    /// Compares payments, refunds and disputes with Stripe's books; ends with 1 where they differ
    Stripe(Stripe),
}

#[derive(Debug, Args)]
pub(super) struct Twilio {
    /// First UTC day of the calls' start (an instant stands for its day); without it, as many days
    /// back as the settings say
    #[arg(long, value_name = "WHEN", value_parser = limit)]
    from: Option<Limit>,
    /// Last UTC day, included; without it, yesterday
    #[arg(long, value_name = "WHEN", value_parser = limit)]
    to: Option<Limit>,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(command: Reconcile, settings: &Settings) -> Result<(), CommandError> {
    let command = match command {
        Reconcile::Twilio(command) => command,
        Reconcile::Stripe(command) => return reconcile_stripe::run(command, settings).await,
    };
    let clock = settings.clock();
    let usual = DayRange::before(clock.now(), settings.reconcile.days);
    let range = days(command.from, command.to, usual)?;
    let store = open_for_accounts(settings)?;
    schema::check(&store).await?;
    let refused = |error: &dyn std::error::Error| CommandError::Refused(one_line(error));
    let reconciler = Reconciler::from_settings(settings, store.clone(), clock)
        .map_err(|error| refused(&error))?;
    let Some(lock) = JobLock::wait(&store, reconcile::NAME, PATIENCE).await? else {
        let problem = "another process has been comparing for ten minutes; try again later";
        return Err(CommandError::Refused(problem.to_owned()));
    };
    let Some(compared) = lock.hold(reconciler.reconcile(range)).await else {
        let problem = "Postgres went away during the comparison; run it again";
        return Err(CommandError::Refused(problem.to_owned()));
    };
    let report = compared.map_err(|error| match error {
        ReconcileError::Ledger(error) => CommandError::Ledger(error),
        ReconcileError::Twilio(error) => refused(&error),
    })?;
    print(&if command.json { json!(report).to_string() } else { text(&report) })?;
    verdict(&report)
}

fn verdict(report: &Report) -> Result<(), CommandError> {
    if report.is_not_configured() {
        let problem = "not_configured: no Twilio account has an auth token; give each its own, or \
                       set TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN";
        return Err(CommandError::Refused(problem.to_owned()));
    }
    let problem = match (report.faults(), report.failed.len(), report.unreadable) {
        (0, 0, 0) => return Ok(()),
        (0, 0, rows) => format!("rows of Twilio's that cannot be read: {rows}"),
        (0, failed, _) => format!("Twilio accounts not compared: {failed}"),
        (faults, ..) => format!("differences from Twilio: {faults}"),
    };
    Err(CommandError::Refused(problem))
}

fn text(report: &Report) -> String {
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{:<20}{:<36}{:<12}{:>9}{:>11}{:>14}{:>14}{:>14}",
        "account", "Twilio account", "day", "minutes", "at Twilio", "price", "cost", "margin"
    );
    for row in &report.days {
        let (account, sid, day) = (&row.account, &row.twilio_account_sid, row.day.to_string());
        let (minutes, theirs, price) = (row.minutes, row.twilio_minutes, row.price.to_string());
        let told = |amount: Option<_>| {
            amount
                .map_or("-".to_owned(), |amount: callmeter_core::domain::Money| amount.to_string())
        };
        let (cost, margin) = (told(row.twilio_cost), told(row.margin));
        let _ = writeln!(
            text,
            "{account:<20}{sid:<36}{day:<12}{minutes:>9}{theirs:>11}{price:>14}{cost:>14}{margin:>14}"
        );
    }
    for difference in &report.differences {
        let _ = writeln!(text, "{}", line(difference));
    }
    for failure in &report.failed {
        let _ = writeln!(text, "not compared: {}: {}", failure.twilio_account_sid, failure.error);
    }
    if report.unreadable > 0 {
        let rows = report.unreadable;
        let _ = writeln!(text, "{rows} rows of Twilio's cannot be read; the log tells of usage");
    }
    if !report.not_configured.is_empty() {
        let count = report.not_configured.len();
        let named: Vec<&str> =
            report.not_configured.iter().take(NAMED_MAX).map(String::as_str).collect();
        let more = if count > NAMED_MAX { " and more" } else { "" };
        let named = named.join(" ");
        let _ = writeln!(text, "{count} without an auth token (not_configured): {named}{more}");
    }
    if report.differences.is_empty() {
        text.push_str("no difference");
    }
    text.trim_end().to_owned()
}

fn line(difference: &DifferenceRow) -> String {
    let DifferenceRow { account, twilio_account_sid: sid, day, reason, calls, minutes, call_sids } =
        difference;
    let named: Vec<&str> = call_sids.iter().take(NAMED_MAX).map(String::as_str).collect();
    let more = if call_sids.len() > NAMED_MAX { " and more" } else { "" };
    let help = match reason {
        Reason::MissingHere => format!("; `callmeter sweep --from {day} --to {day}`"),
        Reason::MinutesDiffer => "; `callmeter rejects list --reason conflict`".to_owned(),
        Reason::UsageNotFinal => "; compare again later".to_owned(),
        _ => String::new(),
    };
    let reason = reason.as_str();
    let named = named.join(" ");
    format!(
        "! {account} {sid} {day} {reason}: {calls:+} calls, {minutes:+} minutes {named}{more}{help}"
    )
}
