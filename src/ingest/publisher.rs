//! Puts records into a topic: acknowledged by every replica in sync before it says so.
//!
//! Before the flow: what Kafka brings later is written here. It keeps nothing: a record that is not
//! acknowledged in time is the caller's again, and may have been written all the same, which the
//! ledger's keys make harmless.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures::future::join_all;
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};

use super::client::KafkaSettings;
use super::producer::{Outgoing, Producer};

/// Records handed over before their acknowledgements are waited for.
const AT_ONCE_MAX: usize = 1_000;
/// Says who wrote a record.
const SOURCE_HEADER: &str = "callmeter-source";

/// Bytes of the longest record that Kafka's own limit (a million, with key and headers) lets through.
pub const RECORD_BYTES_MAX: usize = 950_000;

/// Why records are not published. All of them may be sent again.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// librdkafka refuses a setting.
    #[error("the Kafka producer cannot be made; check [kafka.options]")]
    Producer(#[source] KafkaError),
    /// Not acknowledged in time, or refused; some of the records may have been written.
    #[error("Kafka did not acknowledge a record of {topic}")]
    NotAcknowledged {
        /// The topic.
        topic: String,
        /// What librdkafka says.
        source: KafkaError,
    },
}

/// A record to be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRecord {
    /// Its key: records of one key keep their order.
    pub key: Option<String>,
    /// Its value.
    pub value: Vec<u8>,
}

/// The producer of one topic; cheap to clone.
#[derive(Clone)]
pub struct Publisher {
    shared: Arc<Shared>,
}

struct Shared {
    producer: ArcSwap<Producer>,
    config: ClientConfig,
    topic: String,
    source: &'static str,
    acknowledged_max: Duration,
}

impl std::fmt::Debug for Publisher {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Publisher")
            .field("topic", &self.shared.topic)
            .finish_non_exhaustive()
    }
}

impl Publisher {
    /// Prepares a producer of a topic; connects by itself. `source` names it in each record's headers;
    /// a record is given up when it is not acknowledged within `acknowledged_max`.
    ///
    /// # Errors
    /// Where librdkafka refuses a setting.
    pub fn open(
        kafka: &KafkaSettings,
        topic: &str,
        source: &'static str,
        acknowledged_max: Duration,
    ) -> Result<Self, PublishError> {
        let mut config = kafka.base();
        // A record counts as published when every replica in sync has it, once and in order.
        config.set("acks", "all");
        config.set("enable.idempotence", "true");
        // The partition that a Java producer would choose for the same key.
        config.set("partitioner", "murmur2_random");
        // Requests at the same time share a round trip, and none waits long for company.
        config.set("linger.ms", "2");
        config.set("message.timeout.ms", acknowledged_max.as_millis().to_string());
        // Memory: at most this much waits for the broker.
        config.set("queue.buffering.max.messages", "20000");
        config.set("queue.buffering.max.kbytes", "65536");
        config.set("allow.auto.create.topics", "false");
        // A topic that is made later is found soon.
        config.set("topic.metadata.refresh.interval.ms", "10000");
        let config = kafka.with_options(config);
        let producer = Producer::open(&config).map_err(PublishError::Producer)?;
        let shared = Shared {
            producer: ArcSwap::from_pointee(producer),
            config,
            topic: topic.to_owned(),
            source,
            acknowledged_max,
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Publishes records in order; returns when all of them are acknowledged.
    ///
    /// # Errors
    /// Where one is not; others may have been.
    pub async fn publish(&self, records: &[NewRecord]) -> Result<(), PublishError> {
        let producer = self.shared.producer.load_full();
        for records in records.chunks(AT_ONCE_MAX) {
            let sent = join_all(records.iter().map(|record| self.send(&producer, record))).await;
            if let Some(source) = sent.into_iter().find_map(Result::err) {
                self.replace_if_broken(&producer, &source)?;
                return Err(PublishError::NotAcknowledged {
                    topic: self.shared.topic.clone(),
                    source,
                });
            }
        }
        Ok(())
    }

    async fn send(&self, producer: &Producer, record: &NewRecord) -> Result<(), KafkaError> {
        let source = Header { key: SOURCE_HEADER, value: Some(self.shared.source) };
        let outgoing = Outgoing {
            topic: &self.shared.topic,
            key: record.key.as_deref(),
            value: &record.value,
            headers: Some(OwnedHeaders::new_with_capacity(1).insert(source)),
        };
        producer.send(outgoing, self.shared.acknowledged_max).await
    }

    /// An idempotent producer that lost its place in the log (the topic was made anew, the broker
    /// lost records) fails for good: another one takes its place.
    fn replace_if_broken(
        &self,
        producer: &Arc<Producer>,
        error: &KafkaError,
    ) -> Result<(), PublishError> {
        let fatal = error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal);
        let Some((code, reason)) = producer
            .fatal_error()
            .or_else(|| fatal.then(|| (RDKafkaErrorCode::Fatal, String::new())))
        else {
            return Ok(());
        };
        tracing::error!(%code, reason, "the kafka producer failed for good and is replaced");
        let made = Producer::open(&self.shared.config).map_err(PublishError::Producer)?;
        // Whoever failed at the same time may have replaced it already.
        self.shared.producer.compare_and_swap(producer, Arc::new(made));
        Ok(())
    }
}
