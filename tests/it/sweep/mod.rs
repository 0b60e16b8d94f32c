//! Calls whose last callback was lost, found at a local Twilio and charged once.

mod faults;
mod holds;
mod lost;
mod partial;
mod reconcile;
mod simulated;

use crate::harness::command::{Ran, finish};
use crate::harness::system::System;
use serde_json::Value;
use std::process::Command;

/// A command of the binary that uses the local Twilio.
fn command(system: &System, settings: &[(&str, String)], arguments: &[&str]) -> Command {
    let mut command = system.command(arguments);
    command.envs(settings.iter().map(|(name, value)| (*name, value.as_str())));
    command
}

fn run(system: &System, settings: &[(&str, String)], arguments: &[&str]) -> Ran {
    finish(command(system, settings, arguments))
}

/// Sweeps successfully; returns its findings.
#[track_caller]
fn sweep(system: &System, settings: &[(&str, String)], more: &[&str]) -> Value {
    let arguments: Vec<&str> = ["sweep", "--json"].iter().chain(more).copied().collect();
    report(&run(system, settings, &arguments).expect_success())
}

/// Reconciles with the expected exit code; returns its findings.
#[track_caller]
fn reconcile(
    system: &System,
    settings: &[(&str, String)],
    days: [&str; 2],
    code: i32,
) -> (Value, Ran) {
    let arguments = ["reconcile", "twilio", "--json", "--from", days[0], "--to", days[1]];
    let ran = run(system, settings, &arguments);
    assert_eq!(ran.code, Some(code), "{ran:?}");
    (report(&ran), ran)
}

/// The differences of a report: account, reason, calls, minutes.
fn differences(report: &Value) -> Vec<(&str, &str, i64, i64)> {
    let rows = report["differences"].as_array().expect("differences");
    let text = |row: &'_ Value, key: &str| row[key].as_i64().expect("a number");
    rows.iter()
        .map(|row| {
            let account = row["account"].as_str().expect("an account");
            let reason = row["reason"].as_str().expect("a reason");
            (account, reason, text(row, "calls"), text(row, "minutes"))
        })
        .collect()
}

#[track_caller]
fn report(ran: &Ran) -> Value {
    serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("no JSON: {ran:?}"))
}
