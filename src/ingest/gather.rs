//! Gathers a partition's records into batches, and decodes them on the way.

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

/// How long a poll waits while there is nothing; bounds how late a stop is noticed.
const POLL_WAIT: Duration = Duration::from_millis(200);
/// How long a batch waits for room to become large.
const ROOM_WAIT_MAX: Duration = Duration::from_secs(1);
/// While records come without a pause, the clock is looked at once in so many.
const CLOCK_EVERY: usize = 16;

/// What bounds a batch.
#[derive(Clone, Copy, Debug)]
pub struct BatchLimits {
    /// Most records.
    pub records_max: usize,
    /// Most bytes of keys and values.
    pub bytes_max: usize,
    /// How long a batch waits for company after its first record.
    pub linger: Duration,
}

/// How a partition is read.
#[derive(Clone, Copy, Debug)]
pub struct GatherSettings<'a> {
    /// What the records are.
    pub topic: Topic,
    /// What bounds a batch.
    pub batch: BatchLimits,
    /// Where large batches go.
    pub rooms: &'a Permits,
    /// What is accepted of a record.
    pub accepted: Limits,
}

/// Why gathering ended.
#[derive(Debug)]
pub enum Gathered {
    /// A batch.
    Batch(Batch),
    /// Nothing came, and `stop` was asked for.
    Stopped,
    /// The offset is not in the log any more: look at the watermarks anew.
    OutOfRange(KafkaError),
    /// The client could not read records, and went on behind them: seek back to them.
    Skipped(KafkaError),
}

impl Partition {
    /// Waits for one record and answers its offset and Kafka timestamp; `None` when `stop` says so.
    /// Where the record is damaged, the offset is the greatest of all.
    ///
    /// # Errors
    /// Where the offset is out of range.
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
                // It can never be read, and so tells nothing: no more than if it were not there.
                Some(Err(error)) if is_damage(&error) => return Ok(Some((i64::MAX, None))),
                Some(Err(error)) => self.failed(error),
                None => {}
            }
        }
        Ok(None)
    }

    /// Gathers records into `batch`, which is empty, and decodes them on the way. Blocks.
    /// A batch that becomes large moves into a room, and leaves its memory in `spare`;
    /// while there is no room it is full, and waits a while for some.
    ///
    /// After the first record it goes on until the limits are reached; once the linger time is over it
    /// ends as soon as `is_wanted` says that someone can take the batch.
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
        let mut first_at: Option<Instant> = None;
        let mut lingered = false;
        let mut is_in_doubt = true;
        loop {
            let is_crowded = is_crowded(&mut batch, spare, settings.rooms);
            let unreadable = if is_in_doubt { self.faults().unreadable() } else { None };
            if let Some(error) = unreadable.clone().filter(|_| batch.records.is_empty()) {
                return Gathered::Skipped(error);
            }
            let is_full = is_crowded
                || unreadable.is_some()
                || batch.records.len() >= limits.records_max
                || batch.bytes() >= limits.bytes_max;
            // Worth waiting for room: a record of a small batch costs Postgres several times as much.
            let waits = is_crowded && first_at.is_some_and(|at| at.elapsed() < ROOM_WAIT_MAX);
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
                // Legal: transaction markers and compaction leave gaps. Lost records come as
                // an offset out of range.
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

/// Whether a batch is large and has no room; gives it some where there is.
fn is_crowded(batch: &mut Batch, spare: &mut Option<Memory>, rooms: &Permits) -> bool {
    let needs_room = |batch: &Batch| batch.bytes() >= SMALL_BYTES && !batch.has_room();
    if needs_room(batch)
        && let Some((room, memory)) = rooms.enter()
    {
        *spare = Some(batch.grow(room, memory));
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
    // Only what may be kept needs its bytes; a skipped event or a signal never is.
    let (key, value) = match event {
        Event::Skipped | Event::CallSignalled(_) => (None, None),
        _ => (message.key(), message.payload()),
    };
    batch.push(message.offset(), record_at, event, key, value);
}

/// What a record is; the same whenever it is read.
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
