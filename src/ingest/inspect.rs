//! Reads Kafka from outside the consumer group: the ends of each partition, and single records. For
//! operators' commands only; the charging loop does not use it.

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
    /// Creates the client; it connects at the first request.
    ///
    /// # Errors
    /// If librdkafka refuses a setting.
    pub fn open(kafka: &KafkaSettings) -> Result<Self, KafkaError> {
        let config = kafka.with_options(kafka.reader("inspect"));
        Ok(Self { consumer: config.create()? })
    }

    /// The cluster's id.
    ///
    /// # Errors
    /// If no broker answers within 5 s.
    pub fn cluster_id(&self) -> Result<String, KafkaError> {
        let timed_out = KafkaError::MetadataFetch(RDKafkaErrorCode::OperationTimedOut);
        self.consumer.client().fetch_cluster_id(REQUEST_TIMEOUT).ok_or(timed_out)
    }

    /// Whether Kafka has a topic.
    ///
    /// # Errors
    /// If no broker answers within 5 s.
    pub fn has_topic(&self, topic: &str) -> Result<bool, KafkaError> {
        let metadata = self.consumer.fetch_metadata(Some(topic), REQUEST_TIMEOUT)?;
        Ok(metadata.topics().iter().any(|topic| !topic.partitions().is_empty()))
    }

    /// The partitions of a topic with their watermarks; none if the topic does not exist.
    ///
    /// # Errors
    /// If no broker answers within 5 s.
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

    /// The first offset of a partition that Kafka appended at `instant` or later; `i64::MAX` if
    /// there is none.
    ///
    /// # Errors
    /// If no broker answers within 5 s.
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

    /// The value of one record; none if Kafka no longer has it.
    ///
    /// # Errors
    /// If no broker answers in time.
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
