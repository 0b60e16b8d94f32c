//! `callmeter rejects …`: lists, replays and closes records that could not be charged.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use callmeter_core::domain::Money;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::actor::{by_user, one_line};
use super::{CommandError, changes, open, open_balance, print};
use crate::config::Settings;
use crate::ingest::decode::RejectReason;
use crate::json::{ClosedJson, RejectJson};
use crate::ledger::rejects::{self, Closed, NotClosed, Reject, RejectFilter, RejectedRecord};
use crate::ledger::schema;
use crate::ledger::store::Store;
use crate::operator::close_reject::CloseReject;
use crate::operator::replay_reject::{ReplayError, ReplayedReject, Replays};

/// Rejects in one page.
const PAGE: i64 = 1_000;

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
    ReplayError::Unknown(id).into()
}

async fn close(command: Close, store: &Store, settings: &Settings) -> Result<(), CommandError> {
    let id = command.id;
    let clock = settings.clock();
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
        return print(&json!(ClosedJson::new(closed)).to_string());
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
    let clock = settings.clock();
    let changes = changes(store, &open_balance(settings, &clock)?, &clock);
    let replays = Replays::new(settings, store.clone(), changes);
    let by = by_user(clock.now(), command.why.as_deref());
    let mut sum = Sum::default();
    if command.ids.is_empty() {
        let filter = RejectFilter { reason: command.reason, ..RejectFilter::default() };
        let mut after = 0;
        loop {
            let page = rejects::list(store, &filter, after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = last.id;
            for reject in &page {
                sum.add(replays.replay(reject.id, &by).await?);
            }
        }
    } else {
        for id in command.ids {
            sum.add(replays.replay(id, &by).await?);
        }
    }
    print(&if command.json { sum.in_json().to_string() } else { sum.in_text() })
}

/// What became of the records of a replay.
#[derive(Debug, Default)]
struct Sum {
    outcomes: BTreeMap<&'static str, u64>,
    debited: Money,
    closed: u64,
}

impl Sum {
    fn add(&mut self, replayed: ReplayedReject) {
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
