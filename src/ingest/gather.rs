//! Gathers a partition's records into batches and decodes them.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use rdkafka::Message as _;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;

use super::batch::Batch;
use super::decode::{Event, Limits, RejectReason, Rejection, Topic, decode};
use super::fault::is_damage;
use super::partition::Partition;
use super::permits::{Permits, SMALL_BYTES};
use super::record::Memory;

/// How long a poll waits for a record; bounds how late a stop is noticed.
const POLL_WAIT: Duration = Duration::from_millis(200);
/// How long a full small batch waits for a permit to grow.
const PERMIT_WAIT_MAX: Duration = Duration::from_secs(1);
/// Under load the clock is read once per this many records.
const CLOCK_EVERY: usize = 16;

/// Limits of a batch.
#[derive(Clone, Copy, Debug)]
pub struct BatchLimits {
    /// Most records.
    pub records_max: usize,
    /// Most bytes: of keys and values, and about those of decoded calls.
    pub bytes_max: usize,
    /// How long a batch waits for more records after its first.
    pub linger: Duration,
}

/// How to read a partition.
#[derive(Clone, Copy, Debug)]
pub struct GatherSettings<'a> {
    /// The kind of records.
    pub topic: Topic,
    /// Limits of a batch.
    pub batch: BatchLimits,
    /// Permits for large batches.
    pub permits: &'a Permits,
    /// Limits of what is accepted in a record.
    pub accepted: Limits,
    /// A partition that brings nothing for this long is idle.
    pub idle_after: Duration,
    /// Keeps the bytes of decoded calls too.
    pub keeps_calls: bool,
}

/// Why gathering ended.
#[derive(Debug)]
pub enum Gathered {
    /// A batch.
    Batch(Batch),
    /// Nothing came, and `stop` returned true.
    Stopped,
    /// Nothing came for [`GatherSettings::idle_after`], and nothing is wrong.
    Idle,
    /// The offset is no longer in the log: read the watermarks again.
    OutOfRange(KafkaError),
    /// The client skipped records that it could not read: seek back to them.
    Skipped(KafkaError),
}

impl Partition {
    /// Waits for one record and returns its offset and Kafka timestamp; `None` if `stop` returns
    /// true first. For a damaged record the offset is `i64::MAX`.
    ///
    /// # Errors
    /// If the offset is out of range.
    pub fn peek(
        &self,
        stop: &dyn Fn() -> bool,
    ) -> KafkaResult<Option<(i64, Option<DateTime<Utc>>)>> {
        while !stop() {
            match self.poll(POLL_WAIT) {
                Some(Ok(message)) => {
                    self.faults().clear();
                    return Ok(Some((message.offset(), timestamp_of(&message))));
                }
                Some(Err(error)) if is_out_of_range(&error) => return Err(error),
                // It can never be read, so it says as little as a record that is missing.
                Some(Err(error)) if is_damage(&error) => return Ok(Some((i64::MAX, None))),
                Some(Err(error)) => self.failed(error),
                None => {}
            }
        }
        Ok(None)
    }

    /// Gathers records into the empty `batch` and decodes them. Blocks. A batch that becomes large
    /// takes a permit and leaves its memory in `spare`; without a free permit it counts as full and
    /// waits up to a second for one.
    ///
    /// Gathers until a limit or the linger time is reached; then it ends as soon as `is_wanted`
    /// says that the batch can be taken.
    pub fn gather(
        &self,
        mut batch: Batch,
        spare: &mut Option<Memory>,
        settings: GatherSettings<'_>,
        mut is_wanted: impl FnMut() -> bool,
        stop: &dyn Fn() -> bool,
        now: &dyn Fn() -> DateTime<Utc>,
    ) -> Gathered {
        let limits = settings.batch;
        let began_at = Instant::now();
        let mut first_at: Option<Instant> = None;
        let mut lingered = false;
        let mut is_in_doubt = true;
        loop {
            let is_crowded = is_crowded(&mut batch, spare, settings.permits);
            let unreadable = if is_in_doubt { self.faults().unreadable() } else { None };
            if let Some(error) = unreadable.clone().filter(|_| batch.records.is_empty()) {
                return Gathered::Skipped(error);
            }
            let is_full = is_crowded
                || unreadable.is_some()
                || batch.records.len() >= limits.records_max
                || batch.bytes() >= limits.bytes_max;
            // Worth the wait: a record of a small batch costs Postgres several times as much.
            let waits = is_crowded && first_at.is_some_and(|at| at.elapsed() < PERMIT_WAIT_MAX);
            if (is_full || lingered) && !waits && is_wanted() {
                return Gathered::Batch(batch);
            }
            if stop() {
                return Gathered::Stopped;
            }
            if is_full {
                std::thread::sleep(Duration::from_millis(1));
                continue;
            }
            let wait = match first_at {
                None => POLL_WAIT,
                Some(_) => Duration::from_millis(1),
            };
            let message = match self.poll(wait) {
                None => {
                    lingered = first_at.is_some_and(|at| at.elapsed() >= limits.linger);
                    let is_idle = first_at.is_none() && began_at.elapsed() >= settings.idle_after;
                    if is_idle && self.fault().is_none() {
                        return Gathered::Idle;
                    }
                    continue;
                }
                Some(Ok(message)) => message,
                Some(Err(error)) if is_out_of_range(&error) => return Gathered::OutOfRange(error),
                Some(Err(error)) => {
                    self.failed(error);
                    is_in_doubt = true;
                    continue;
                }
            };
            if message.offset() < batch.next_offset {
                continue;
            }
            let is_gap = message.offset() > batch.next_offset;
            if is_in_doubt && self.faults().is_behind(is_gap) {
                continue;
            }
            is_in_doubt = false;
            if is_gap {
                // Legal: transaction markers and compaction leave gaps. Lost records show as an
                // offset out of range.
                metrics::counter!(crate::metrics::OFFSET_GAPS).increment(1);
            }
            push(&mut batch, &message, settings, now);
            let first_at = first_at.get_or_insert_with(Instant::now);
            if batch.records.len().is_multiple_of(CLOCK_EVERY) {
                lingered = first_at.elapsed() >= limits.linger;
            }
        }
    }
}

/// Takes a permit for a batch that has outgrown a small one; true if none was free.
fn is_crowded(batch: &mut Batch, spare: &mut Option<Memory>, permits: &Permits) -> bool {
    let needs_room = |batch: &Batch| batch.bytes() >= SMALL_BYTES && !batch.has_permit();
    if needs_room(batch)
        && let Some((permit, memory)) = permits.enter()
    {
        *spare = Some(batch.grow(permit, memory));
    }
    needs_room(batch)
}

fn push(
    batch: &mut Batch,
    message: &BorrowedMessage<'_>,
    settings: GatherSettings<'_>,
    now: &dyn Fn() -> DateTime<Utc>,
) {
    let record_at = timestamp_of(message);
    let event = event_of(message, settings, now);
    let is_kept = match event {
        Event::Skipped | Event::CallSignalled(_) => false,
        Event::CallEnded(_) => settings.keeps_calls,
        Event::RentalDue(_) | Event::Rejected(_) => true,
    };
    if is_kept {
        batch.push(message.offset(), record_at, event, message.key(), message.payload());
    } else {
        batch.push_decoded(message.offset(), record_at, event);
    }
}

/// Decodes a record; the result is the same at every reading.
pub(super) fn event_of(
    message: &BorrowedMessage<'_>,
    settings: GatherSettings<'_>,
    now: &dyn Fn() -> DateTime<Utc>,
) -> Event {
    let Some(value) = message.payload() else {
        return Event::Rejected(Rejection {
            reason: RejectReason::Undecodable,
            detail: "the record has no value".to_owned(),
        });
    };
    let record_at = timestamp_of(message).unwrap_or_else(now);
    decode(settings.topic, value, record_at, settings.accepted)
}

pub(super) fn timestamp_of(message: &BorrowedMessage<'_>) -> Option<DateTime<Utc>> {
    message.timestamp().to_millis().filter(|ms| *ms >= 0).and_then(DateTime::from_timestamp_millis)
}

fn is_out_of_range(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange)
    )
}
