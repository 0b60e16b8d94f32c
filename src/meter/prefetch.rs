//! The gathering side of a partition: reads on a thread that may block, and hands over batches.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use rdkafka::error::KafkaError;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::checkpoint;
use super::end::End;
use crate::ingest::batch::Batch;
use crate::ingest::client::TopicPartition;
use crate::ingest::decode::Topic;
use crate::ingest::gather::{GatherSettings, Gathered};
use crate::ingest::idle::{BEGUN_AFTER, Watch};
use crate::ingest::partition::{Partition, Watermarks};
use crate::ingest::record::Memory;
use crate::ledger::offsets::StoredOffset;

/// A partition that brings nothing for this long is watched; it is read on until the watch has begun.
const IDLE_AFTER: Duration = Duration::from_secs(1);
/// Time between two attempts to read unreadable records.
const UNREADABLE_WAIT: Duration = Duration::from_secs(1);
/// Further seeks before the group is asked for the partition again; each takes up to two seconds.
const SEEKS_MAX: u32 = 5;

/// How long the first record may take before it is sought again; doubled each time.
const WITNESS_PATIENCE: Duration = Duration::from_secs(4);
/// The most of it.
const WITNESS_PATIENCE_MAX: Duration = Duration::from_secs(30);

/// Facts from Kafka about a partition before it starts.
#[derive(Debug)]
pub(super) struct Facts {
    pub watermarks: Watermarks,
    pub cluster_id: String,
    pub committed: Option<i64>,
}

/// A message of the gathering thread.
pub(super) enum FromPrefetch {
    Started,
    Batch(Batch),
    Ended(End),
}

/// The gathering side of a session; runs on a thread that may block.
pub(super) struct Prefetch {
    pub partition: Arc<Partition>,
    pub name: TopicPartition,
    pub shared: Arc<Shared>,
    pub topic: Topic,
    pub stop: CancellationToken,
    pub is_busy: Arc<AtomicBool>,
    /// Memory of a finished batch.
    pub spare: Arc<Mutex<Option<Memory>>>,
}

impl Prefetch {
    /// Gathers until the session ends; returns why it ended.
    pub(super) fn run(
        &self,
        facts: &Facts,
        stored: &StoredOffset,
        sender: &mpsc::Sender<FromPrefetch>,
    ) {
        let end = match self.start(facts, stored, sender) {
            Ok(()) => self.gather(stored.next_offset, sender),
            Err(end) => end,
        };
        let _ = sender.blocking_send(FromPrefetch::Ended(end));
    }

    /// Starts reading, and checks the record before the offset if Kafka still has it.
    fn start(
        &self,
        facts: &Facts,
        stored: &StoredOffset,
        sender: &mpsc::Sender<FromPrefetch>,
    ) -> Result<(), End> {
        if let Some(witness) = checkpoint::witness_offset(stored, facts.watermarks) {
            let (offset, record_at) = self.read_witness(witness)?;
            checkpoint::check_witness(stored, offset, record_at).map_err(End::Halted)?;
        }
        self.partition.start(stored.next_offset).map_err(End::GivenUp)?;
        sender.blocking_send(FromPrefetch::Started).map_err(|_| End::Stopped)
    }

    /// Reads the record before the offset: its own offset, and its time. The client may lose a seek
    /// while it loses its connection; then it brings nothing, for ever, and tells no error. So it
    /// seeks again.
    fn read_witness(&self, witness: i64) -> Result<(i64, Option<DateTime<Utc>>), End> {
        let mut patience = WITNESS_PATIENCE;
        loop {
            self.partition.start(witness).map_err(End::GivenUp)?;
            let until = Instant::now() + patience;
            let ends = || self.stop.is_cancelled() || Instant::now() >= until;
            // Out of range: the log's ends have moved since they were read.
            if let Some(found) = self.partition.peek(&ends).map_err(End::Kafka)? {
                return Ok(found);
            }
            if self.stop.is_cancelled() {
                return Err(End::Stopped);
            }
            tracing::info!(partition = %self.name, offset = witness, "kafka brings nothing: seeking again");
            patience = (patience * 2).min(WITNESS_PATIENCE_MAX);
        }
    }

    fn gather(&self, start: i64, sender: &mpsc::Sender<FromPrefetch>) -> End {
        let settings = &self.shared.meter.settings;
        let clock = &self.shared.meter.clock;
        let mut expected = start;
        let mut watch: Option<Watch> = None;
        loop {
            let how = GatherSettings {
                topic: self.topic,
                batch: settings.batch,
                permits: &self.shared.permits,
                accepted: settings.limits,
                idle_after: if watch.is_some() { BEGUN_AFTER } else { IDLE_AFTER },
                keeps_calls: self.shared.next_keeps_calls(),
            };
            let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).take();
            let batch = Batch::within(spare.take().unwrap_or_default(), expected);
            let gathered = self.partition.gather(
                batch,
                &mut spare,
                how,
                || !self.is_busy.load(Ordering::Acquire),
                &|| self.stop.is_cancelled(),
                &|| clock.now(),
            );
            if spare.is_some() {
                *self.spare.lock().unwrap_or_else(PoisonError::into_inner) = spare;
            }
            let batch = match gathered {
                Gathered::Batch(batch) => batch,
                Gathered::Stopped => return End::Stopped,
                Gathered::Idle => {
                    match watch.take() {
                        None => watch = self.watch(expected),
                        Some(begun) => match self.wait(begun, expected) {
                            Ok(()) => {}
                            Err(end) => return end,
                        },
                    }
                    continue;
                }
                Gathered::OutOfRange(error) => {
                    tracing::warn!(%error, "offset out of range");
                    return End::Restart;
                }
                Gathered::Skipped(error) => {
                    if let Err(end) = self.seek_back(expected, &error) {
                        return end;
                    }
                    continue;
                }
            };
            watch = None;
            expected = batch.next_offset;
            self.is_busy.store(true, Ordering::Release);
            if sender.blocking_send(FromPrefetch::Batch(batch)).is_err() {
                return End::Stopped;
            }
        }
    }

    /// Seeks back to unreadable records after a pause, in the same session and queue.
    fn seek_back(&self, offset: i64, error: &KafkaError) -> Result<(), End> {
        self.shared.progress.failed(&self.name, error);
        self.partition.pause().map_err(End::GivenUp)?;
        let until = Instant::now() + UNREADABLE_WAIT;
        while Instant::now() < until {
            if self.stop.is_cancelled() {
                return Err(End::Stopped);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.partition.forget_fault();
        self.seek(offset)
    }

    /// Begins to watch the partition, which is idle; it is still read the usual way meanwhile.
    /// `None` where the client refuses: reading on costs more, and misses nothing.
    fn watch(&self, offset: i64) -> Option<Watch> {
        let watch = self.shared.idle.watch(&self.name, offset);
        watch
            .inspect_err(|error| tracing::debug!(partition = %self.name, %error, "not watched"))
            .ok()
    }

    /// Stops reading until the watch finds a record, then reads on at `offset`.
    fn wait(&self, watch: Watch, offset: i64) -> Result<(), End> {
        self.partition.pause().map_err(End::GivenUp)?;
        let found = self.stop.run_until_cancelled(watch.found());
        if Handle::current().block_on(found).is_none() {
            return Err(End::Stopped);
        }
        drop(watch);
        self.seek(offset)
    }

    /// Reads on at `offset`. Right behind a fault the client may refuse to seek for a while.
    fn seek(&self, offset: i64) -> Result<(), End> {
        let mut sought = self.partition.start(offset);
        for _ in 0..SEEKS_MAX {
            if sought.is_ok() || self.stop.is_cancelled() {
                break;
            }
            sought = self.partition.start(offset);
        }
        sought.map_err(End::GivenUp)
    }
}
