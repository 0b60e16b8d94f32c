//! `callmeter sweep`: finds calls at Twilio that were never charged, and publishes them.

use std::fmt::Write as _;
use std::time::Duration;

use chrono::TimeDelta;
use clap::Args;
use serde_json::json;

use super::period::{Limit, limit, period};
use super::{CommandError, open_for_accounts, print};
use crate::app::one_line;
use crate::config::Settings;
use crate::jobs::JobLock;
use crate::ledger::schema;
use crate::sweep::{self, Report, SweepError, Sweeper};

/// Longest wait for another sweep.
const PATIENCE: Duration = Duration::from_mins(10);
/// Most accounts in a line of text.
const NAMED_MAX: usize = 20;

#[derive(Debug, Args)]
pub(super) struct Sweep {
    /// Calls that started then or later: a UTC day or an RFC 3339 instant; without it, the overlap
    /// of the settings before --to
    #[arg(long, value_name = "WHEN", value_parser = limit)]
    from: Option<Limit>,
    /// Calls that started before that instant, or on that day at the latest; without it, now
    #[arg(long, value_name = "WHEN", value_parser = limit)]
    to: Option<Limit>,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(command: Sweep, settings: &Settings) -> Result<(), CommandError> {
    let clock = settings.clock();
    let to = command.to.map_or_else(|| clock.now(), Limit::ends);
    let overlap = TimeDelta::seconds(settings.sweep.overlap_seconds.into());
    let from = command.from.map_or_else(|| to - overlap, Limit::begins);
    let period = period(from, to)?;
    let store = open_for_accounts(settings)?;
    schema::check(&store).await?;
    let sweeper = Sweeper::from_settings(settings, store.clone(), clock).map_err(refused)?;
    let Some(lock) = JobLock::wait(&store, sweep::NAME, PATIENCE).await? else {
        let problem = "another process has been sweeping for ten minutes; try again later";
        return Err(CommandError::Refused(problem.to_owned()));
    };
    let Some(swept) = lock.hold(sweeper.sweep(period)).await else {
        let problem = "Postgres went away during the sweep; run it again, nothing is charged twice";
        return Err(CommandError::Refused(problem.to_owned()));
    };
    let report = swept.map_err(refused)?;
    print(&if command.json { json!(report).to_string() } else { text(&report) })?;
    if report.is_not_configured() {
        let problem = "not_configured: no Twilio account has an auth token; give each its own, or \
                       set TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN";
        return Err(CommandError::Refused(problem.to_owned()));
    }
    match (report.failed.len(), report.unusable) {
        (0, 0) => Ok(()),
        (0, rows) => {
            let problem = "not everything was swept; rows of Twilio's that cannot be used";
            Err(CommandError::Refused(format!("{problem}: {rows}")))
        }
        (failed, _) => Err(CommandError::Refused(format!("Twilio accounts not swept: {failed}"))),
    }
}

fn refused(error: SweepError) -> CommandError {
    match error {
        SweepError::Ledger(error) => CommandError::Ledger(error),
        other => CommandError::Refused(one_line(&other)),
    }
}

fn text(report: &Report) -> String {
    let Report { accounts, calls, published, unusable, .. } = report;
    let mut text = format!(
        "{calls} completed calls of {accounts} Twilio accounts listed; {published} were not \
         charged and went to Kafka"
    );
    if report.rejected > 0 {
        let rejected = report.rejected;
        let _ = write!(
            text,
            "\n{rejected} cannot be charged and are kept: `callmeter rejects list --reason invalid`"
        );
    }
    if *unusable > 0 {
        let _ = write!(text, "\n{unusable} rows of Twilio's cannot be used; the log names them");
    }
    if report.holds_looked_up > 0 {
        let (looked_up, ended) = (report.holds_looked_up, report.holds_published);
        let _ = write!(text, "\n{looked_up} expired holds looked up; {ended} calls had ended");
    }
    for failure in report.failed.iter().take(NAMED_MAX) {
        let _ = write!(text, "\nnot swept: {}: {}", failure.twilio_account_sid, failure.error);
    }
    if !report.not_configured.is_empty() {
        let named: Vec<&str> =
            report.not_configured.iter().take(NAMED_MAX).map(String::as_str).collect();
        let count = report.not_configured.len();
        let _ =
            write!(text, "\n{count} without an auth token (not_configured): {}", named.join(" "));
        if count > NAMED_MAX {
            text.push_str(" and more");
        }
    }
    text
}
