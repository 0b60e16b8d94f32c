//! Calls whose last callback was lost, found at a local Twilio and charged once.

mod faults;
mod holds;
mod lost;

use crate::harness::command::{Ran, finish};
use crate::harness::system::System;
use serde_json::Value;
use std::process::Command;

/// A command of the binary that finds the local Twilio.
fn command(system: &System, settings: &[(&str, String)], arguments: &[&str]) -> Command {
    let mut command = system.command(arguments);
    command.envs(settings.iter().map(|(name, value)| (*name, value.as_str())));
    command
}

fn run(system: &System, settings: &[(&str, String)], arguments: &[&str]) -> Ran {
    finish(command(system, settings, arguments))
}

/// Sweeps, successfully; what it found.
#[track_caller]
fn sweep(system: &System, settings: &[(&str, String)], more: &[&str]) -> Value {
    let arguments: Vec<&str> = ["sweep", "--json"].iter().chain(more).copied().collect();
    report(&run(system, settings, &arguments).expect_success())
}

#[track_caller]
fn report(ran: &Ran) -> Value {
    serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("no JSON: {ran:?}"))
}
