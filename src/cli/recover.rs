//! `callmeter recover`: brings back payments that Stripe has and this ledger lost, after Postgres was
//! restored from a backup.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use clap::Args;
use serde_json::json;

use super::actor::by_user;
use super::error::refused;
use super::period::{Limit, limit};
use super::refill::open_payments;
use super::{CommandError, open, print};
use crate::app::one_line;
use crate::config::Settings;
use crate::ledger::schema;
use crate::payments::Recovered;

#[derive(Debug, Args)]
pub(super) struct Recover {
    /// Payments that Stripe created then or later: a UTC day or an RFC 3339 instant. Name the time of
    /// the backup, or an earlier one
    #[arg(long, value_name = "WHEN", value_parser = limit, required_unless_present = "require")]
    since: Option<Limit>,
    /// Makes refills wait until a recovery has run; use it after any restore
    #[arg(long, conflicts_with = "since")]
    require: bool,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(command: Recover, settings: &Settings) -> Result<(), CommandError> {
    let (store, clock) = (open(settings)?, settings.clock());
    schema::check(&store).await?;
    let payments = open_payments(settings, store, &clock)?;
    let Some(since) = command.since.map(Limit::begins) else {
        let required = payments.require_recovery("administrator").await;
        required.map_err(|error| refused(one_line(&error)))?;
        return print("refills wait until `callmeter recover --since` has run");
    };
    let who = by_user(clock.now(), None).who;
    let recovered = payments.recover(since, &who).await;
    let recovered = recovered
        .map_err(|error| refused(format!("{}; nothing is lost, run it again", one_line(&error))))?;
    print(&if command.json { json!(recovered).to_string() } else { text(&recovered, since) })
}

fn text(recovered: &Recovered, since: DateTime<Utc>) -> String {
    let Recovered { payments, credited, canceled, moved_back, unmatched } = recovered;
    let mut text = format!(
        "{payments} payments since {since}: {credited} were missing and are credited, {canceled} \
         unfinished ones are canceled; {moved_back} refunds and disputes were missing and are booked"
    );
    for one in unmatched {
        let _ = write!(text, "\n{} could not be matched: {}", one.payment_intent, one.reason);
    }
    text.push_str("\nrefills are allowed again");
    text
}
