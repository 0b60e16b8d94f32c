//! Publishes events to Kafka and counts those that it acknowledged.

use std::time::Duration;

use serde_json::{Value, json};

use super::judge::Judged;
use crate::app::one_line;
use crate::cli::CommandError;
use crate::cli::kafka::ask;
use crate::config::Settings;
use crate::ingest::client::KafkaSettings;
use crate::ingest::decode::Topic;
use crate::ingest::publisher::{NewRecord, Publisher};
use crate::ingest::topics;

/// Longest wait for the acknowledgement of a record.
const ACKNOWLEDGED_MAX: Duration = Duration::from_secs(20);

/// The two topics, each opened at its first event.
pub(super) struct Sink {
    kafka: KafkaSettings,
    partitions: i32,
    topics: [Destination; 2],
    skipped: u64,
}

struct Destination {
    name: String,
    publisher: Option<Publisher>,
    published: u64,
}

impl Sink {
    /// Prepares the topics of calls and rentals; connects later.
    pub(super) fn from_settings(settings: &Settings, names: [String; 2]) -> Self {
        let topics = names.map(|name| Destination { name, publisher: None, published: 0 });
        let partitions = settings.kafka.partitions;
        Self { kafka: KafkaSettings::from(&settings.kafka), partitions, topics, skipped: 0 }
    }

    /// Events that Kafka acknowledged.
    pub(super) fn published(&self) -> u64 {
        self.topics.iter().map(|topic| topic.published).sum()
    }

    /// Publishes events; returns after all are acknowledged.
    pub(super) async fn publish(&mut self, events: Vec<Judged>) -> Result<(), CommandError> {
        let mut records: [Vec<NewRecord>; 2] = [Vec::new(), Vec::new()];
        let mut skipped = 0;
        for Judged { topic, record, is_skipped } in events {
            records[usize::from(topic == Topic::Rentals)].push(record);
            skipped += u64::from(is_skipped);
        }
        for (index, records) in records.into_iter().enumerate().filter(|(_, it)| !it.is_empty()) {
            let publisher = self.open(index).await?;
            let sent = publisher.publish(&records).await;
            sent.map_err(|error| self.failed(&one_line(&error)))?;
            self.topics[index].published += u64::try_from(records.len()).unwrap_or(u64::MAX);
        }
        self.skipped += skipped;
        Ok(())
    }

    /// The producer of a topic, which is created if Kafka does not have it yet.
    async fn open(&mut self, index: usize) -> Result<Publisher, CommandError> {
        if let Some(publisher) = &self.topics[index].publisher {
            return Ok(publisher.clone());
        }
        let name = self.topics[index].name.clone();
        let asked = name.clone();
        if !ask(self.kafka.clone(), move |inspector| inspector.has_topic(&asked)).await? {
            topics::ensure(&self.kafka, &[&name], self.partitions).await.map_err(|error| {
                self.failed(&format!("there is no topic {name}, and it cannot be created: {error}"))
            })?;
        }
        let publisher = Publisher::open(&self.kafka, &name, "publish", ACKNOWLEDGED_MAX);
        let publisher = publisher.map_err(|error| self.failed(&one_line(&error)))?;
        self.topics[index].publisher = Some(publisher.clone());
        Ok(publisher)
    }

    fn failed(&self, problem: &str) -> CommandError {
        let again = "publish all of them again: nothing is charged twice";
        CommandError::Refused(match self.published() {
            0 => problem.to_owned(),
            1 => format!("{problem}; 1 event was acknowledged before; {again}"),
            many => format!("{problem}; {many} events were acknowledged before; {again}"),
        })
    }

    pub(super) fn in_json(&self) -> Value {
        let topics = self.topics.iter().map(|topic| (topic.name.clone(), topic.published.into()));
        let topics: serde_json::Map<String, Value> = topics.collect();
        json!({ "published": self.published(), "skipped": self.skipped, "topics": topics })
    }

    pub(super) fn in_text(&self) -> String {
        let used = self.topics.iter().filter(|topic| topic.published > 0);
        let used = used.map(|topic| format!("{} to {}", topic.published, topic.name));
        let used: Vec<String> = used.collect();
        let published = match self.published() {
            0 => "no event was published".to_owned(),
            _ => format!("published {}", used.join(", ")),
        };
        match self.skipped {
            0 => published,
            skipped => format!("{published}; {skipped} of a type that is not charged"),
        }
    }
}
