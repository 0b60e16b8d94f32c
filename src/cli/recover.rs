//! `callmeter recover`: brings back payments that Stripe has, and numbers that Twilio has, and that
//! this ledger lost, after Postgres was restored from a backup.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use clap::Args;
use serde_json::json;

use super::actor::by_user;
use super::error::refused;
use super::number::open_numbers;
use super::period::{Limit, limit};
use super::refill::open_payments;
use super::{CommandError, open, print};
use crate::app::one_line;
use crate::config::Settings;
use crate::ledger::payments::recovery;
use crate::ledger::schema;
use crate::numbers::RestoredNumbers;
use crate::payments::Recovered;

#[derive(Debug, Args)]
pub(super) struct Recover {
    /// Payments and numbers of then or later: a UTC day or an RFC 3339 instant. Name the time of
    /// the backup, or an earlier one
    #[arg(long, value_name = "WHEN", value_parser = limit, required_unless_present = "require")]
    since: Option<Limit>,
    /// Makes refills and purchases wait until a recovery has run; use it after any restore
    #[arg(long, conflicts_with = "since")]
    require: bool,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(command: Recover, settings: &Settings) -> Result<(), CommandError> {
    let (store, clock) = (open(settings)?, settings.clock());
    schema::check(&store).await?;
    let Some(since) = command.since.map(Limit::begins) else {
        recovery::require(&store, "administrator", clock.now()).await?;
        return print("refills and purchases wait until `callmeter recover --since` has run");
    };
    let again = |error: &dyn std::error::Error| {
        refused(format!("{}; nothing is lost, run it again", one_line(error)))
    };
    let who = by_user(clock.now(), None).who;
    let numbers = open_numbers(settings, store.clone(), &clock)?;
    let numbers = numbers.recover(since, &who).await.map_err(|error| again(&error))?;
    let recovered = if settings.stripe.api_key.is_some() {
        let payments = open_payments(settings, store, &clock)?;
        payments.recover(since, &who).await.map_err(|error| again(&error))?
    } else {
        recovery::finish(&store).await?;
        Recovered::default()
    };
    print(&if command.json {
        let mut told = json!(recovered);
        told["numbers"] = json!(numbers);
        told.to_string()
    } else {
        text(&recovered, &numbers, since)
    })
}

fn text(recovered: &Recovered, numbers: &RestoredNumbers, since: DateTime<Utc>) -> String {
    let Recovered { payments, credited, canceled, moved_back, unmatched } = recovered;
    let mut text = format!(
        "{payments} payments since {since}: {credited} were missing and are credited, {canceled} \
         unfinished ones are canceled; {moved_back} refunds and disputes were missing and are booked"
    );
    for one in unmatched {
        let _ = write!(text, "\n{} could not be matched: {}", one.payment_intent, one.reason);
    }
    let (count, restored) = (numbers.numbers, numbers.restored);
    let _ = write!(
        text,
        "\n{count} numbers bought since then: {restored} were missing and are debited"
    );
    for one in &numbers.unmatched {
        let _ = write!(text, "\n{} could not be brought back: {}", one.number, one.reason);
    }
    for sid in &numbers.unlisted {
        let _ = write!(text, "\nthe numbers of {sid} could not be listed: is its token right?");
    }
    text.push_str("\nrefills and purchases are allowed again");
    text
}
