//! Publishes records to a topic; returns once every in-sync replica has acknowledged them.
//!
//! It stands before the flow: Kafka delivers these records later. It stores nothing. A record that
//! is not acknowledged in time is returned to the caller as an error; it may still have been
//! written, which the ledger's keys make harmless.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};

use super::client::KafkaSettings;
use super::producer::{Outgoing, Producer};

/// Most records sent before their acknowledgements are awaited.
const AT_ONCE_MAX: usize = 1_000;
/// Header that names the record's source.
const SOURCE_HEADER: &str = "callmeter-source";

/// Longest record that Kafka's own limit (a million bytes with key and headers) allows.
pub const RECORD_BYTES_MAX: usize = 950_000;

/// Why records were not published. All of them may be sent again.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// librdkafka refuses a setting.
    #[error("the Kafka producer cannot be made; check [kafka.options]")]
    Producer(#[source] KafkaError),
    /// Not acknowledged in time, or refused; some of the records may have been written.
    #[error("Kafka at {brokers} did not take a record of {topic}")]
    NotAcknowledged {
        /// Where it was sent to.
        brokers: Box<str>,
        /// The topic.
        topic: Box<str>,
        /// The error of librdkafka.
        source: Box<KafkaError>,
    },
}

/// A record to publish.
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
    /// Opened by the first record: a client that publishes nothing costs an idle process threads.
    producer: Mutex<Option<Arc<Producer>>>,
    config: ClientConfig,
    brokers: String,
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
    /// Prepares a producer for a topic, which connects with its first record. `source` names the origin in
    /// each record's headers; a record fails if it is not acknowledged within `acknowledged_max`.
    ///
    /// # Errors
    /// If librdkafka refuses a setting.
    pub fn open(
        kafka: &KafkaSettings,
        topic: &str,
        source: &'static str,
        acknowledged_max: Duration,
    ) -> Result<Self, PublishError> {
        let mut config = kafka.base();
        // A record is published when every in-sync replica has it, once and in order.
        config.set("acks", "all");
        config.set("enable.idempotence", "true");
        // Chooses the partition that a Java producer would choose for the same key.
        config.set("partitioner", "murmur2_random");
        // Records sent at the same time share a round trip; none waits long for others.
        config.set("linger.ms", "2");
        config.set("message.timeout.ms", acknowledged_max.as_millis().to_string());
        // Memory: at most this much waits for the broker.
        config.set("queue.buffering.max.messages", "20000");
        config.set("queue.buffering.max.kbytes", "65536");
        config.set("allow.auto.create.topics", "false");
        // A topic that is created later is found soon.
        config.set("topic.metadata.refresh.interval.ms", "10000");
        let config = kafka.with_options(config);
        config.create_native_config().map_err(PublishError::Producer)?;
        let shared = Shared {
            producer: Mutex::default(),
            config,
            brokers: kafka.brokers.clone(),
            topic: topic.to_owned(),
            source,
            acknowledged_max,
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Publishes records in order; returns when all are acknowledged.
    ///
    /// # Errors
    /// If one is not acknowledged; others may have been.
    pub async fn publish(&self, records: &[NewRecord]) -> Result<(), PublishError> {
        let producer = self.producer()?;
        for records in records.chunks(AT_ONCE_MAX) {
            let sent = join_all(records.iter().map(|record| self.send(&producer, record))).await;
            if let Some(source) = sent.into_iter().find_map(Result::err) {
                self.drop_if_broken(&producer, &source);
                return Err(PublishError::NotAcknowledged {
                    brokers: self.shared.brokers.as_str().into(),
                    topic: self.shared.topic.as_str().into(),
                    source: Box::new(source),
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

    fn producer(&self) -> Result<Arc<Producer>, PublishError> {
        let mut kept = self.kept();
        if let Some(producer) = &*kept {
            return Ok(Arc::clone(producer));
        }
        let made = Producer::open(&self.shared.config).map_err(PublishError::Producer)?;
        Ok(Arc::clone(kept.insert(Arc::new(made))))
    }

    /// Drops an idempotent producer that lost its place in the log (the topic was created again, or
    /// the broker lost records): its error is fatal. The next record opens another one.
    fn drop_if_broken(&self, producer: &Arc<Producer>, error: &KafkaError) {
        let fatal = error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal);
        let fatal = fatal.then(|| (RDKafkaErrorCode::Fatal, String::new()));
        let Some((code, reason)) = producer.fatal_error().or(fatal) else { return };
        tracing::error!(%code, reason, "the kafka producer failed for good and is replaced");
        // Another caller that failed at the same time may have replaced it already.
        let mut kept = self.kept();
        if kept.as_ref().is_some_and(|kept| Arc::ptr_eq(kept, producer)) {
            *kept = None;
        }
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Option<Arc<Producer>>> {
        self.shared.producer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
