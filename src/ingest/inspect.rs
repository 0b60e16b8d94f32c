//! Looks into Kafka from outside the consumer group: what there is of each partition, and one record
//! by its place. For operators' commands; the charging loop has its own way.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::MetadataTopic;
use rdkafka::{Message as _, Offset, TopicPartitionList};

use super::client::KafkaSettings;
use super::partition::Watermarks;

/// How long one request to Kafka may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// A client that belongs to no group and changes nothing. Its calls block.
pub struct Inspector {
    consumer: BaseConsumer,
}

impl Inspector {
    /// Makes the client; connects when it is first asked.
    ///
    /// # Errors
    /// Where librdkafka refuses a setting.
    pub fn open(kafka: &KafkaSettings) -> Result<Self, KafkaError> {
        let mut config = kafka.base();
        // The client insists on a name; it never joins.
        config.set("group.id", format!("{}-inspect", kafka.group));
        config.set("enable.auto.commit", "false");
        config.set("auto.offset.reset", "error");
        config.set("allow.auto.create.topics", "false");
        Ok(Self { consumer: kafka.with_options(config).create()? })
    }

    /// The cluster's id.
    ///
    /// # Errors
    /// Where no broker answers within 5 s.
    pub fn cluster_id(&self) -> Result<String, KafkaError> {
        let timed_out = KafkaError::MetadataFetch(RDKafkaErrorCode::OperationTimedOut);
        self.consumer.client().fetch_cluster_id(REQUEST_TIMEOUT).ok_or(timed_out)
    }

    /// Whether Kafka has a topic.
    ///
    /// # Errors
    /// Where no broker answers within 5 s.
    pub fn has_topic(&self, topic: &str) -> Result<bool, KafkaError> {
        let metadata = self.consumer.fetch_metadata(Some(topic), REQUEST_TIMEOUT)?;
        Ok(metadata.topics().iter().any(|topic| !topic.partitions().is_empty()))
    }

    /// Partitions of a topic, with what Kafka has of each; none: the topic does not exist.
    ///
    /// # Errors
    /// Where no broker answers within 5 s.
    pub fn partitions(&self, topic: &str) -> Result<Vec<(i32, Watermarks)>, KafkaError> {
        let metadata = self.consumer.fetch_metadata(Some(topic), REQUEST_TIMEOUT)?;
        let partitions = metadata.topics().iter().flat_map(MetadataTopic::partitions);
        partitions
            .map(|partition| {
                let number = partition.id();
                let (low, high) = self.consumer.fetch_watermarks(topic, number, REQUEST_TIMEOUT)?;
                Ok((number, Watermarks { low, high }))
            })
            .collect()
    }

    /// The first offset of a partition whose record Kafka took in at `instant` or later; the greatest of
    /// all where there is none.
    ///
    /// # Errors
    /// Where no broker answers within 5 s.
    pub fn first_since(
        &self,
        topic: &str,
        partition: i32,
        instant: DateTime<Utc>,
    ) -> Result<i64, KafkaError> {
        let mut wanted = TopicPartitionList::new();
        let place = Offset::Offset(instant.timestamp_millis());
        wanted.add_partition_offset(topic, partition, place)?;
        let found = self.consumer.offsets_for_times(wanted, REQUEST_TIMEOUT)?;
        let first = found.elements().first().map(|element| (element.offset(), element.error()));
        match first {
            Some((_, Err(error))) => Err(error),
            Some((Offset::Offset(first), Ok(()))) => Ok(first),
            _ => Ok(i64::MAX),
        }
    }

    /// The value of one record; none: Kafka does not have it any more.
    ///
    /// # Errors
    /// Where no broker answers in time.
    pub fn value(
        &self,
        topic: &str,
        partition: i32,
        offset: i64,
    ) -> Result<Option<Vec<u8>>, KafkaError> {
        let (low, high) = self.consumer.fetch_watermarks(topic, partition, REQUEST_TIMEOUT)?;
        if !(low..high).contains(&offset) {
            return Ok(None);
        }
        let mut place = TopicPartitionList::new();
        place.add_partition_offset(topic, partition, Offset::Offset(offset))?;
        self.consumer.assign(&place)?;
        let deadline = Instant::now() + REQUEST_TIMEOUT;
        while Instant::now() < deadline {
            if let Some(message) = self.consumer.poll(Duration::from_millis(100)) {
                let message = message?;
                let found = message.offset() == offset;
                return Ok(if found { message.payload().map(<[u8]>::to_vec) } else { None });
            }
        }
        Err(KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut))
    }
}
