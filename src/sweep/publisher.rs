//! Publishes the calls found to Kafka: acknowledged by every in-sync replica, in bounded numbers.

use std::sync::Arc;
use std::time::Duration;

use callmeter_core::domain::TwilioAccountSid;
use futures::future::join_all;
use rdkafka::error::KafkaError;

use crate::ingest::client::KafkaSettings;
use crate::ingest::producer::{Outgoing, Producer};

/// Longest time until a record is acknowledged.
const ACKNOWLEDGED_MAX: Duration = Duration::from_secs(20);
/// Records sent before their acknowledgements are awaited.
const AT_ONCE_MAX: usize = 1_000;

/// Why nothing can be published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// librdkafka refuses a setting.
    #[error("the Kafka producer cannot be made; check [kafka.options]")]
    Producer(#[source] KafkaError),
    /// A record was not acknowledged; it may have been written nevertheless.
    #[error(
        "Kafka at {brokers} did not take a record of {topic}; what was found is found again by the \
         next sweep"
    )]
    NotAcknowledged {
        /// The addresses.
        brokers: Box<str>,
        /// The topic.
        topic: Box<str>,
        /// The error of librdkafka.
        source: Box<KafkaError>,
    },
}

/// The producer of the sweep; cheap to clone.
#[derive(Clone)]
pub struct Publisher {
    producer: Arc<Producer>,
    brokers: String,
    topic: String,
}

impl std::fmt::Debug for Publisher {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Publisher").field("topic", &self.topic).finish_non_exhaustive()
    }
}

impl Publisher {
    /// Prepares a producer for the topic of calls; it connects in the background.
    ///
    /// # Errors
    /// If librdkafka refuses a setting.
    pub fn open(kafka: &KafkaSettings, topic: &str) -> Result<Self, PublishError> {
        let mut config = kafka.base();
        // A record counts as published when every in-sync replica has it, once and in order.
        config.set("acks", "all");
        config.set("enable.idempotence", "true");
        // The partition that a Java producer would choose for the key.
        config.set("partitioner", "murmur2_random");
        config.set("linger.ms", "5");
        // If a broker is unavailable for this long, the sweep fails and is run again.
        config.set("message.timeout.ms", ACKNOWLEDGED_MAX.as_millis().to_string());
        // Memory: at most this many records wait for the broker.
        config.set("queue.buffering.max.messages", "10000");
        let config = kafka.with_options(config);
        let producer = Producer::open(&config).map_err(PublishError::Producer)?;
        let producer = Arc::new(producer);
        Ok(Self { producer, brokers: kafka.brokers.clone(), topic: topic.to_owned() })
    }

    /// Publishes records under their `AccountSid`; returns when all are acknowledged.
    ///
    /// # Errors
    /// If one is not acknowledged; others may have been.
    pub async fn publish(
        &self,
        sid: &TwilioAccountSid,
        records: &[Vec<u8>],
    ) -> Result<(), PublishError> {
        for records in records.chunks(AT_ONCE_MAX) {
            let sent = records.iter().map(|record| {
                let outgoing = Outgoing {
                    topic: &self.topic,
                    key: Some(sid.as_str()),
                    value: record,
                    headers: None,
                };
                self.producer.send(outgoing, ACKNOWLEDGED_MAX)
            });
            for result in join_all(sent).await {
                result.map_err(|source| PublishError::NotAcknowledged {
                    brokers: self.brokers.as_str().into(),
                    topic: self.topic.as_str().into(),
                    source: Box::new(source),
                })?;
            }
        }
        Ok(())
    }
}
