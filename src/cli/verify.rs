//! `callmeter verify`: checks the ledger's invariants, and compares Redis with the ledger, also
//! while the service runs.

use std::fmt::Write as _;

use clap::Args;
use serde_json::json;

use super::{CommandError, open, print};
use crate::app::one_line;
use crate::balance::{Balance, BalanceError};
use crate::config::Settings;
use crate::ledger::schema;
use crate::verify::{Finding, Report, VIOLATIONS_SHOWN_MAX, verify};

#[derive(Debug, Args)]
pub(super) struct Verify {
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(command: Verify, settings: &Settings) -> Result<(), CommandError> {
    let store = open(settings)?;
    schema::check(&store).await?;
    let report = verify(&store).await;
    let mut report = report.map_err(|error| CommandError::Refused(one_line(&error)))?;
    let redis = redis(settings).await;
    let redis = redis.map_err(|error| CommandError::Refused(one_line(&error)))?;
    report.holds &= redis.violations.is_empty();
    report.invariants.push(redis);
    print(&if command.json { json!(report).to_string() } else { text(&report) })?;
    let broken = report.invariants.iter().filter(|found| !found.violations.is_empty()).count();
    match broken {
        0 => Ok(()),
        1 => Err(CommandError::Refused("1 invariant does not hold".to_owned())),
        _ => Err(CommandError::Refused(format!("{broken} invariants do not hold"))),
    }
}

/// Compares Redis with Postgres.
async fn redis(settings: &Settings) -> Result<Finding, BalanceError> {
    let drift = Balance::from_settings(settings, settings.clock())?.verify().await?;
    Ok(Finding {
        name: "redis_agrees_with_postgres",
        sentence: "the wallets and holds in Redis are those in Postgres",
        violations: drift.iter().take(VIOLATIONS_SHOWN_MAX).map(ToString::to_string).collect(),
        more: drift.len() > VIOLATIONS_SHOWN_MAX,
    })
}

fn text(report: &Report) -> String {
    let mut text = String::new();
    for finding in &report.invariants {
        let mark = if finding.violations.is_empty() { "holds " } else { "BROKEN" };
        let _ = writeln!(text, "{mark}  {}", finding.sentence);
        for violation in &finding.violations {
            let _ = writeln!(text, "        {violation}");
        }
        if finding.more {
            let _ = writeln!(text, "        and more");
        }
    }
    let extent = report.extent;
    let _ = write!(
        text,
        "{} accounts, {} transactions, {} charges rated again; balances drift by {}",
        extent.accounts, extent.transactions, extent.charges, report.drift
    );
    text
}
