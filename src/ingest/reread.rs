//! A range of a partition, read once more, outside of the consumer group.
//!
//! For status events that were charged (which changes nothing) and not applied to holds. It moves no
//! offset, and says nothing about records that are not in the range any more: Kafka deleted them.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::{Message as _, Offset, TopicPartitionList};

use super::batch::Batch;
use super::client::{KafkaSettings, TopicPartition};
use super::gather::{GatherSettings, event_of, timestamp_of};

/// How long one request to Kafka may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// How long Kafka may bring nothing before it counts as away.
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// How long a poll waits while there is nothing; bounds how late a stop is noticed.
const POLL_WAIT: Duration = Duration::from_millis(50);

/// What is read again.
#[derive(Clone, Debug)]
pub struct Range {
    /// The partition.
    pub name: TopicPartition,
    /// First offset.
    pub from: i64,
    /// The offset after the last, which was read before: the log was that long.
    pub to: i64,
    /// Records of before need not be read: those that Kafka took in earlier, up to the first that it did
    /// not.
    pub since: DateTime<Utc>,
}

/// Reads a range in batches without bytes, by rising offsets, each handed over before the next is
/// read, until all is read or `hand_over` answers false: no more is wanted. Blocks. Answers whether all
/// was read.
///
/// # Errors
/// Where Kafka cannot be asked: try again.
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
                batch.push(message.offset(), timestamp_of(&message), event, None, None);
                batch.next_offset >= range.to
            }
            // What was read last is not there any more: compacted away.
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

/// Where the range can be read from; the log may begin later by now.
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
        // None was taken in since.
        Some((Offset::End, Ok(()))) => range.to,
        _ => range.from,
    };
    Ok(range.from.max(low).max(since))
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
    let mut config = kafka.base();
    // The client insists on a name; it never joins, and commits nothing.
    config.set("group.id", format!("{}-signals", kafka.group));
    config.set("enable.auto.commit", "false");
    config.set("enable.auto.offset.store", "false");
    // Never reset silently: the log's start is asked for anew instead.
    config.set("auto.offset.reset", "error");
    config.set("allow.auto.create.topics", "false");
    // The range may end in records that are compacted away: then the log's end says that all was read.
    config.set("enable.partition.eof", "true");
    // Memory: at most this much waits undecoded; a batch is smaller.
    config.set("queued.max.messages.kbytes", "1024");
    config.set("queued.min.messages", "2000");
    config.set("fetch.message.max.bytes", "1048576");
    // As the group's consumer: a full queue is asked for again at once.
    config.set("fetch.queue.backoff.ms", "5");
    config.set("fetch.wait.max.ms", "20");
    kafka.with_options(config)
}
