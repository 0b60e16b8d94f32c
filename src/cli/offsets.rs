//! `callmeter offsets …`: shows or moves the stored offset of a partition.

use clap::{Args, Subcommand};
use serde_json::json;

use super::actor::{by_user, printable};
use super::kafka::ask;
use super::{CommandError, open, print};
use crate::change;
use crate::config::Settings;
use crate::ingest::client::KafkaSettings;
use crate::ledger::offsets::ManualOffset;
use crate::ledger::{offsets, schema};
use crate::masked::masked;
use crate::operator::set_offset::SetOffset;

#[derive(Debug, Subcommand)]
pub(super) enum Offsets {
    /// Shows the stored offset of each partition
    Show(Show),
    /// Sets a partition's stored offset; charged calls are not charged again
    Set(Set),
}

#[derive(Debug, Args)]
pub(super) struct Show {
    /// Only this topic
    #[arg(long)]
    topic: Option<String>,
    /// One JSON object per line
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Set {
    /// The topic
    #[arg(long)]
    topic: String,
    /// The partition, from 0
    #[arg(long, value_parser = clap::value_parser!(i32).range(0..))]
    partition: i32,
    /// The next offset to charge
    #[arg(long, value_parser = clap::value_parser!(i64).range(0..))]
    offset: i64,
    /// Reason; kept for good
    #[arg(long)]
    reason: String,
}

pub(super) async fn run(command: Offsets, settings: &Settings) -> Result<(), CommandError> {
    match command {
        Offsets::Show(command) => show(&command, settings).await,
        Offsets::Set(command) => set(command, settings).await,
    }
}

async fn show(command: &Show, settings: &Settings) -> Result<(), CommandError> {
    let store = open(settings)?;
    schema::check(&store).await?;
    let stored = offsets::list(&mut *store.read().await?).await?;
    for stored in stored {
        let stream = &stored.stream;
        if command.topic.as_ref().is_some_and(|topic| *topic != stream.topic) {
            continue;
        }
        let line = if command.json {
            json!({
                "topic": stream.topic,
                "partition": stream.partition,
                "next_offset": stored.next_offset,
                "cluster_id": stored.cluster_id,
                "last_record_at": stored.last_record_at,
            })
            .to_string()
        } else {
            let at = stored.last_record_at.map_or_else(|| "-".to_owned(), |at| at.to_rfc3339());
            let (topic, partition) = (&stream.topic, stream.partition);
            format!("{topic} {partition}: next offset {}, last record {at}", stored.next_offset)
        };
        print(&line)?;
    }
    Ok(())
}

async fn set(command: Set, settings: &Settings) -> Result<(), CommandError> {
    let Set { topic, partition, offset, reason } = command;
    // It is stored forever, so it must not contain a phone number.
    let reason = masked(&printable(&reason, "--reason")?).into_owned();
    let kafka = &settings.kafka;
    if ![&kafka.topic_calls, &kafka.topic_rentals].contains(&&topic) {
        return Err(CommandError::Usage(format!(
            "--topic {topic} is not read; {} and {} are",
            kafka.topic_calls, kafka.topic_rentals
        )));
    }
    let store = open(settings)?;
    schema::check(&store).await?;
    let asked = topic.clone();
    let (cluster_id, partitions) = ask(KafkaSettings::from(&settings.kafka), move |inspector| {
        Ok((inspector.cluster_id()?, inspector.partitions(&asked)?))
    })
    .await?;
    let Some((_, log)) = partitions.iter().find(|(number, _)| *number == partition) else {
        let count = partitions.len();
        return Err(CommandError::Usage(format!(
            "--partition {partition}: topic {topic} has {count} partitions, counted from 0"
        )));
    };
    if !(log.low..=log.high).contains(&offset) {
        return Err(CommandError::Usage(format!(
            "--offset {offset}: Kafka has offsets {} to {} of {topic} {partition}",
            log.low, log.high
        )));
    }
    let by = by_user(settings.clock().now(), Some(&reason));
    let (shown, next_offset) = (topic.clone(), offset);
    let set = SetOffset(ManualOffset { topic, partition, next_offset, cluster_id, reason });
    let Ok(before) = change::commit(&store, set, by).await?;
    let before = before.map_or_else(|| "nothing stored".to_owned(), |before| before.to_string());
    print(&format!("{shown} {partition}: next offset {offset}, was {before}"))
}
