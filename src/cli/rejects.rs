//! `callmeter rejects …`: lists, replays and closes records that could not be charged.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use callmeter_core::domain::Money;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::actor::{by_user, one_line};
use super::kafka::{ask, kafka_settings};
use super::{CommandError, changes, open, open_balance, print};
use crate::clock::Clock;
use crate::config::Settings;
use crate::ingest::decode::{Limits, RejectReason, Topic};
use crate::json::{ClosedJson, RejectJson};
use crate::ledger::audit::By;
use crate::ledger::batch::{Charger, ChargingPolicy, CommitError};
use crate::ledger::rejects::{self, Closed, NotClosed, Reject, RejectFilter, RejectedRecord};
use crate::ledger::schema;
use crate::ledger::store::Store;
use crate::rejects::close::CloseReject;

/// Rejects in one page.
const PAGE: i64 = 1_000;

/// Seconds until an unpaid rental is retried.
const SECONDS_A_DAY: u32 = 86_400;

const REASONS: [&str; 4] = ["undecodable", "invalid", "unknown_account", "conflict"];

#[derive(Debug, Subcommand)]
pub(super) enum Rejects {
    /// Lists open rejects: neither replayed nor closed
    List(List),
    /// Shows one rejected record with its bytes
    Show(Show),
    /// Replays rejected records under the current rules: every open one, or those named
    Replay(Replay),
    /// Closes a reject for good; it no longer counts as open
    Close(Close),
}

/// The words of the reasons.
fn reason() -> impl TypedValueParser<Value = RejectReason> {
    PossibleValuesParser::new(REASONS).try_map(|word| word.parse::<RejectReason>())
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// Only rejects of this reason
    #[arg(long, value_parser = reason())]
    reason: Option<RejectReason>,
    /// Includes replayed and closed rejects
    #[arg(long, alias = "with-replayed")]
    all: bool,
    /// One JSON object per line
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Show {
    /// The reject's id
    id: i64,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Replay {
    /// Ids of rejects, closed ones included; default: every open reject
    ids: Vec<i64>,
    /// Only rejects of this reason
    #[arg(long, conflicts_with = "ids", value_parser = reason())]
    reason: Option<RejectReason>,
    /// Reason; kept in the audit
    #[arg(long, value_name = "TEXT", value_parser = one_line)]
    why: Option<String>,
    /// Prints the totals as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Close {
    /// The reject's id
    id: i64,
    /// Reason; kept with the reject and in the audit
    #[arg(long, value_name = "TEXT", value_parser = one_line)]
    reason: String,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(command: Rejects, settings: &Settings) -> Result<(), CommandError> {
    let store = open(settings)?;
    schema::check(&store).await?;
    match command {
        Rejects::List(command) => list(command, &store).await,
        Rejects::Show(command) => show(&command, &store).await,
        Rejects::Replay(command) => replay(command, &store, settings).await,
        Rejects::Close(command) => close(command, &store, settings).await,
    }
}

async fn list(command: List, store: &Store) -> Result<(), CommandError> {
    let filter =
        RejectFilter { reason: command.reason, all: command.all, ..RejectFilter::default() };
    let mut after = 0;
    loop {
        let page = rejects::list(store, &filter, after, PAGE).await?;
        for reject in &page {
            let line = if command.json { in_json(reject).to_string() } else { in_text(reject) };
            print(&line)?;
        }
        match page.last() {
            Some(last) => after = last.id,
            None => return Ok(()),
        }
    }
}

fn in_json(reject: &Reject) -> Value {
    json!(RejectJson::from(reject.clone()))
}

fn in_text(reject: &Reject) -> String {
    let Reject { id, topic, partition, offset, reason, detail, at, count, .. } = reject;
    let times = if *count > 1 { format!(" ({count} times)") } else { String::new() };
    let replayed = if reject.replayed_at.is_some() { ", replayed" } else { "" };
    let why = reject.closed_reason.as_ref();
    let closed = why.map(|why| format!(", closed: {why}")).unwrap_or_default();
    format!("{id} {at} {topic}/{partition}@{offset} {reason}: {detail}{times}{replayed}{closed}")
}

async fn show(command: &Show, store: &Store) -> Result<(), CommandError> {
    let record = find(store, command.id).await?;
    let bytes = |bytes: &Option<Vec<u8>>| bytes.as_ref().map(|bytes| STANDARD.encode(bytes));
    let text = |bytes: &Option<Vec<u8>>| {
        bytes.as_ref().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    };
    if command.json {
        let mut shown = in_json(&record.reject);
        shown["key"] = json!(text(&record.key));
        shown["value"] = json!(text(&record.value));
        shown["value_base64"] = json!(bytes(&record.value));
        return print(&shown.to_string());
    }
    print(&in_text(&record.reject))?;
    print(&format!("key    {}", text(&record.key).unwrap_or_else(|| "none".to_owned())))?;
    let value = text(&record.value).unwrap_or_else(|| {
        let left = record.is_left_in_kafka();
        if left { "left in Kafka: the cap was reached" } else { "empty" }.to_owned()
    });
    print(&format!("value  {value}"))
}

async fn find(store: &Store, id: i64) -> Result<RejectedRecord, CommandError> {
    let found = rejects::show(store, id).await?;
    found.ok_or_else(|| unknown(id))
}

fn unknown(id: i64) -> CommandError {
    CommandError::Refused(format!("there is no reject {id}"))
}

async fn close(command: Close, store: &Store, settings: &Settings) -> Result<(), CommandError> {
    let id = command.id;
    let clock = Clock::system();
    let changes = changes(store, &open_balance(settings, &clock)?, &clock);
    let by = by_user(clock.now(), Some(&command.reason));
    let closed = match changes.run(CloseReject(id), by).await? {
        Ok(closed) => closed,
        Err(NotClosed::Unknown) => return Err(unknown(id)),
        Err(NotClosed::Replayed) => {
            let why = format!("a replay settled reject {id} before; there is nothing to close");
            return Err(CommandError::Refused(why));
        }
    };
    if command.json {
        return print(&json!(ClosedJson::of(closed)).to_string());
    }
    let Closed { reject, changed } = closed;
    if changed {
        return print(&format!("reject {id} is closed"));
    }
    let since = reject.closed_at.map(|at| at.to_string()).unwrap_or_default();
    let why = reject.closed_reason.unwrap_or_default();
    print(&format!("reject {id} was closed before, at {since}: {why}; nothing was changed"))
}

async fn replay(command: Replay, store: &Store, settings: &Settings) -> Result<(), CommandError> {
    let policy = ChargingPolicy {
        zero_duration_completed: settings.charging.zero_duration_completed,
        rental_retry_seconds: SECONDS_A_DAY,
    };
    let charger = Charger::new(store.clone(), policy);
    let by = by_user(Clock::system().now(), command.why.as_deref());
    let mut sum = Sum::default();
    if command.ids.is_empty() {
        let filter = RejectFilter { reason: command.reason, ..RejectFilter::default() };
        let mut after = 0;
        loop {
            let page = rejects::list(store, &filter, after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = last.id;
            for reject in &page {
                sum.add(&replay_one(reject.id, &charger, settings, &by).await?);
            }
        }
    } else {
        for id in command.ids {
            sum.add(&replay_one(id, &charger, settings, &by).await?);
        }
    }
    print(&if command.json { sum.in_json().to_string() } else { sum.in_text() })
}

/// The outcome of one record of a replay.
#[derive(Debug)]
struct Replayed {
    outcome: &'static str,
    debited: Money,
    was_closed: bool,
}

/// The outcomes of all records of a replay.
#[derive(Debug, Default)]
struct Sum {
    outcomes: BTreeMap<&'static str, u64>,
    debited: Money,
    closed: u64,
}

impl Sum {
    fn add(&mut self, replayed: &Replayed) {
        *self.outcomes.entry(replayed.outcome).or_default() += 1;
        self.debited = self.debited.checked_add(replayed.debited).unwrap_or(self.debited);
        self.closed += u64::from(replayed.was_closed);
    }

    fn in_json(&self) -> Value {
        let mut sum = json!(self.outcomes);
        sum["debited"] = json!(self.debited);
        sum["closed_before"] = json!(self.closed);
        sum
    }

    fn in_text(&self) -> String {
        if self.outcomes.is_empty() {
            return "no reject is open".to_owned();
        }
        let outcomes = self.outcomes.iter().map(|(outcome, count)| format!("{count} {outcome}"));
        let outcomes: Vec<String> = outcomes.collect();
        let closed = match self.closed {
            0 => String::new(),
            closed => format!("; {closed} of them had been closed"),
        };
        format!("{}; {} dollars debited{closed}", outcomes.join(", "), self.debited)
    }
}

/// Replays one record; its bytes come from Kafka if the cap kept them out of Postgres.
async fn replay_one(
    id: i64,
    charger: &Charger,
    settings: &Settings,
    by: &By,
) -> Result<Replayed, CommandError> {
    let record = find(charger.store(), id).await?;
    let was_closed = record.reject.closed_at.is_some();
    let nothing = |outcome| Replayed { outcome, debited: Money::ZERO, was_closed };
    if record.reject.replayed_at.is_some() {
        return Ok(nothing("replayed before"));
    }
    let fetched = if record.is_left_in_kafka() {
        let reject = record.reject.clone();
        let value = ask(kafka_settings(settings), move |inspector| {
            inspector.value(&reject.topic, reject.partition, reject.offset)
        })
        .await?;
        if value.is_none() {
            return Ok(nothing("no longer in Kafka"));
        }
        value
    } else {
        None
    };
    let value = fetched.as_deref().or(record.value.as_deref());
    let topic = if record.reject.topic == settings.kafka.topic_rentals {
        Topic::Rentals
    } else {
        Topic::Calls
    };
    let limits = Limits {
        call_seconds_max: settings.charging.call_seconds_max,
        end_ahead_seconds_max: settings.charging.end_ahead_seconds_max,
    };
    match rejects::replay(charger, &record, value, topic, limits, by).await {
        Ok(replayed) => {
            let (outcome, debited) = (replayed.outcome.as_str(), replayed.debited);
            Ok(Replayed { outcome, debited, was_closed })
        }
        Err(error) => Err(refused(id, error)),
    }
}

fn refused(id: i64, error: CommitError) -> CommandError {
    match error {
        CommitError::Store(error) => error.into(),
        CommitError::Catalog(error) => error.into(),
        other => CommandError::Refused(format!("reject {id} was not replayed: {other}")),
    }
}
