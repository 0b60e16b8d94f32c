//! `callmeter status`: the state of the service, and the command that helps with each problem.

use std::fmt::Write as _;

use chrono::TimeDelta;
use clap::Args;
use serde_json::json;

use super::kafka::ask;
use super::{CommandError, open, print};
use crate::app::one_line;
use crate::config::Settings;
use crate::ingest::client::KafkaSettings;
use crate::ingest::client::TopicPartition;
use crate::ledger::schema;
use crate::status::{Logs, Status, status};

#[derive(Debug, Args)]
pub(super) struct Show {
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(command: Show, settings: &Settings) -> Result<(), CommandError> {
    let store = open(settings)?;
    schema::check(&store).await?;
    let kafka = &settings.kafka;
    let topics = [kafka.topic_calls.clone(), kafka.topic_rentals.clone()];
    let now = settings.clock().now();
    let stall_max = TimeDelta::seconds(kafka.stall_seconds.into());
    let logs = ask(KafkaSettings::from(&settings.kafka), move |inspector| {
        let mut logs = Logs { cluster_id: inspector.cluster_id()?, ..Logs::default() };
        for topic in topics {
            let partitions = inspector.partitions(&topic)?;
            if partitions.is_empty() {
                logs.missing.push(topic);
                continue;
            }
            for (number, log) in partitions {
                // If a log cannot be searched, the process that reads it reports that.
                if let Ok(first) = inspector.first_since(&topic, number, now - stall_max) {
                    let name = TopicPartition { topic: topic.clone(), partition: number };
                    logs.young_from.insert(name, first);
                }
                logs.partitions.push((topic.clone(), number, log));
            }
        }
        Ok(logs)
    });
    let logs = logs.await.map_err(|error| one_line(&error));
    let status = status(&store, logs, stall_max, now).await?;
    let seconds = settings.clock.offset_seconds;
    print(&if command.json {
        let mut status = json!(status);
        status["clock_offset_seconds"] = json!(seconds);
        status.to_string()
    } else if seconds == 0 {
        text(&status)
    } else {
        format!("the clock is moved by {seconds} s, for tests\n{}", text(&status))
    })
}

fn text(status: &Status) -> String {
    let mut text = String::new();
    let number = |value: Option<i64>| value.map_or_else(|| "-".to_owned(), |it| it.to_string());
    let [next, low, high, lag, signals] = ["next", "low", "high", "lag", "signals"];
    let _ =
        writeln!(text, "{:<24}{next:>12}{low:>12}{high:>12}{lag:>10}{signals:>10}", "partition");
    for partition in &status.partitions {
        let name = format!("{}/{}", partition.topic, partition.partition);
        let (next, lag) = (number(partition.next_offset), number(partition.lag));
        let (low, high) = (number(partition.low), number(partition.high));
        let signals = number(partition.signals_lag);
        let halted = match partition {
            it if it.halted => "  stands still",
            it if it.stalled_since.is_some() => "  no progress",
            _ => "",
        };
        let _ =
            writeln!(text, "{name:<24}{next:>12}{low:>12}{high:>12}{lag:>10}{signals:>10}{halted}");
    }
    for reject in &status.rejects {
        let (records, reason, oldest_at) = (reject.records, &reject.reason, reject.oldest_at);
        let _ = writeln!(text, "{records} rejected as {reason}, the oldest of {oldest_at}");
    }
    let payments = status.payments;
    if payments.pending + payments.waiting + payments.unmatched > 0 {
        let oldest = payments.oldest_pending_at;
        let oldest = oldest.map_or_else(String::new, |at| format!(", the oldest since {at}"));
        let (pending, waiting, unmatched) =
            (payments.pending, payments.waiting, payments.unmatched);
        let _ = writeln!(
            text,
            "refills: {pending} pending{oldest}, {waiting} wait for the customer; \
             {unmatched} payments without a refill"
        );
    }
    if payments.refunds > 0 {
        let _ = writeln!(text, "refunds: {} in progress", payments.refunds);
    }
    if payments.unpublished > 0 {
        let _ = writeln!(text, "{} events wait to be published", payments.unpublished);
    }
    let webhooks = status.webhooks;
    if webhooks.waiting + webhooks.failing + webhooks.disabled > 0 {
        let (waiting, failing, disabled) = (webhooks.waiting, webhooks.failing, webhooks.disabled);
        let _ = writeln!(
            text,
            "web hooks: {waiting} deliveries wait; {failing} receivers fail, {disabled} disabled"
        );
    }
    if webhooks.mails > 0 {
        let _ = writeln!(text, "{} mails wait", webhooks.mails);
    }
    let rentals = status.rentals;
    if rentals.failed + rentals.given_up > 0 {
        let due =
            rentals.oldest_due_at.map_or_else(String::new, |at| format!(", next attempt {at}"));
        let (failed, given_up) = (rentals.failed, rentals.given_up);
        let _ = writeln!(text, "{failed} rents unpaid{due}; {given_up} given up");
    }
    let numbers = status.numbers;
    if numbers.pending + numbers.releasing + numbers.suspended > 0 {
        let (pending, releasing, suspended) =
            (numbers.pending, numbers.releasing, numbers.suspended);
        let _ = writeln!(
            text,
            "numbers: {pending} pending, {releasing} being released, {suspended} suspended"
        );
    }
    for job in &status.jobs {
        let last = job.last_succeeded_at.map_or_else(|| "never".to_owned(), |at| at.to_string());
        let _ =
            writeln!(text, "job {:<20}ended well last: {last}, next: {}", job.name, job.next_at);
    }
    if status.expired_holds > 0 {
        let _ = writeln!(text, "{} expired holds to look up at Twilio", status.expired_holds);
    }
    for problem in &status.problems {
        let _ = writeln!(text, "! {}\n  {}", problem.what, problem.help);
    }
    if status.problems.is_empty() {
        text.push_str("all is well");
    }
    text.trim_end().to_owned()
}
