//! Reads a range of a partition again, outside of the consumer group.
//!
//! It serves status events that were charged but not applied to holds; charging them again changes
//! nothing. And it reads the bytes of records that are rejected, which no batch has kept. It never moves an offset. Records that Kafka has deleted from the range are skipped
//! with a warning.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::{Message as _, Offset, TopicPartitionList};

use super::batch::{Batch, KeyAndValue};
use super::client::{KafkaSettings, TopicPartition};
use super::gather::{GatherSettings, event_of, timestamp_of};

/// How long one request to Kafka may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// How long Kafka may deliver nothing before it counts as unreachable.
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// How long a poll waits for a record; bounds how late a stop is noticed.
const POLL_WAIT: Duration = Duration::from_millis(50);

/// The range to read.
#[derive(Clone, Debug)]
pub struct Range {
    /// The partition.
    pub name: TopicPartition,
    /// First offset.
    pub from: i64,
    /// Offset after the last record; the log was at least this long.
    pub to: i64,
    /// Skips the records before the first that Kafka appended at this time or later.
    pub since: DateTime<Utc>,
}

/// Reads a range in batches without bytes, in offset order, and hands over each before it reads the
/// next. Ends when all is read or `hand_over` returns false. Blocks. Returns whether all was read.
///
/// # Errors
/// If Kafka cannot be reached: try again.
pub fn read(
    kafka: &KafkaSettings,
    range: &Range,
    settings: GatherSettings<'_>,
    now: &dyn Fn() -> DateTime<Utc>,
    hand_over: &mut dyn FnMut(Batch) -> bool,
) -> KafkaResult<bool> {
    let consumer: BaseConsumer = options(kafka).create()?;
    let from = start(&consumer, range)?;
    if from >= range.to {
        return Ok(true);
    }
    let TopicPartition { topic, partition } = &range.name;
    let mut place = TopicPartitionList::new();
    place.add_partition_offset(topic, *partition, Offset::Offset(from))?;
    consumer.assign(&place)?;
    let mut batch = Batch::starting_at(from);
    let mut heard_at = Instant::now();
    loop {
        let is_last = match consumer.poll(POLL_WAIT) {
            Some(Ok(message)) if message.offset() < range.to => {
                heard_at = Instant::now();
                let event = event_of(&message, settings, now);
                batch.push_decoded(message.offset(), timestamp_of(&message), event);
                batch.next_offset >= range.to
            }
            // The last records of the range are gone: compacted away.
            Some(Ok(_) | Err(KafkaError::PartitionEOF(_))) => true,
            Some(Err(error)) if is_fatal(&error) => return Err(error),
            Some(Err(_)) | None if heard_at.elapsed() < SILENCE_MAX => false,
            Some(Err(error)) => return Err(error),
            None => {
                return Err(KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut));
            }
        };
        let next_offset = batch.next_offset;
        if batch.records.len() >= settings.batch.records_max || is_last {
            let is_wanted = hand_over(batch);
            if is_last || !is_wanted {
                return Ok(is_wanted);
            }
            batch = Batch::starting_at(next_offset);
            heard_at = Instant::now();
        }
    }
}

/// Reads keys and values of some records, by rising offset; those that Kafka does not have any more
/// are missing. Blocks.
///
/// # Errors
/// If Kafka cannot be reached: try again.
pub fn bytes(
    kafka: &KafkaSettings,
    name: &TopicPartition,
    offsets: &[i64],
) -> KafkaResult<HashMap<i64, KeyAndValue>> {
    let mut found = HashMap::with_capacity(offsets.len());
    let (Some(&first), Some(&last)) = (offsets.first(), offsets.last()) else { return Ok(found) };
    let consumer: BaseConsumer = options(kafka).create()?;
    let (low, high) = consumer.fetch_watermarks(&name.topic, name.partition, REQUEST_TIMEOUT)?;
    if low > last || high <= first {
        return Ok(found);
    }
    let mut place = TopicPartitionList::new();
    let from = Offset::Offset(first.max(low));
    place.add_partition_offset(&name.topic, name.partition, from)?;
    consumer.assign(&place)?;
    let mut heard_at = Instant::now();
    loop {
        match consumer.poll(POLL_WAIT) {
            Some(Ok(message)) => {
                heard_at = Instant::now();
                if offsets.binary_search(&message.offset()).is_ok() {
                    let (key, value) = (message.key(), message.payload());
                    let bytes = (key.map(<[u8]>::to_vec), value.map(<[u8]>::to_vec));
                    found.insert(message.offset(), bytes);
                }
                if message.offset() >= last {
                    return Ok(found);
                }
            }
            Some(Err(KafkaError::PartitionEOF(_))) => return Ok(found),
            Some(Err(error)) if is_fatal(&error) || heard_at.elapsed() >= SILENCE_MAX => {
                return Err(error);
            }
            None if heard_at.elapsed() >= SILENCE_MAX => {
                return Err(KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut));
            }
            Some(Err(_)) | None => {}
        }
    }
}

/// First offset that can still be read; the log may begin later by now.
fn start(consumer: &BaseConsumer, range: &Range) -> KafkaResult<i64> {
    let TopicPartition { topic, partition } = &range.name;
    let (low, _) = consumer.fetch_watermarks(topic, *partition, REQUEST_TIMEOUT)?;
    if low > range.from {
        let lost = low - range.from;
        tracing::warn!(partition = %range.name, lost, "kafka deleted records that were to be read again");
    }
    let mut wanted = TopicPartitionList::new();
    let instant = Offset::Offset(range.since.timestamp_millis());
    wanted.add_partition_offset(topic, *partition, instant)?;
    let found = consumer.offsets_for_times(wanted, REQUEST_TIMEOUT)?;
    let since = match found.elements().first().map(|element| (element.offset(), element.error())) {
        Some((_, Err(error))) => return Err(error),
        Some((Offset::Offset(offset), Ok(()))) => offset,
        // Kafka appended none since.
        Some((Offset::End, Ok(()))) => range.to,
        _ => range.from,
    };
    Ok(range.from.max(low).max(since))
}

/// The error if the thread that reads broke off.
pub const fn broke_off() -> KafkaError {
    KafkaError::MessageConsumption(RDKafkaErrorCode::Fail)
}

fn is_fatal(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::AutoOffsetReset
                | RDKafkaErrorCode::OffsetOutOfRange
                | RDKafkaErrorCode::UnknownPartition
                | RDKafkaErrorCode::UnknownTopicOrPartition
        )
    )
}

fn options(kafka: &KafkaSettings) -> ClientConfig {
    let mut config = kafka.reader("signals");
    // If the range ends in records that were compacted away, the log's end says that all was read.
    config.set("enable.partition.eof", "true");
    // Memory: at most this much waits undecoded; a batch is smaller.
    config.set("queued.max.messages.kbytes", "1024");
    config.set("queued.min.messages", "2000");
    config.set("fetch.message.max.bytes", "1048576");
    // As for the group's consumer: a full queue is fetched again at once.
    config.set("fetch.queue.backoff.ms", "5");
    config.set("fetch.wait.max.ms", "20");
    kafka.with_options(config)
}
