//! Where a partition's records come from: the group's consumer, or a client of the partition's own.
//!
//! The group's consumer asks Kafka for all partitions in one request, and has one such request at a
//! time. While the queue of a busy partition is full, that request is for the idle ones, and Kafka
//! holds it until one of them has something. To keep that wait short costs an idle process most of its
//! time; so it is long, and a partition that fills its batches reads through a client of its own, whose
//! requests wait for nobody (decision 0044).
//!
//! A client of its own is no member of the group: it must never outlive the session of its partition.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::BorrowedMessage;
use rdkafka::{Offset, TopicPartitionList};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;

use super::client::{KafkaSettings, TopicPartition};
use super::fault::Faults;
use super::partition::Partition;

/// Partitions of a process that have a client of their own at the same time; bounds threads and
/// connections.
pub const OWN_MAX: usize = 8;
/// A partition whose batches are not full for so long goes back to the group's consumer.
const OWN_FOR: Duration = Duration::from_secs(5);
/// How long a poll of a client of its own waits; bounds how late a stop is noticed.
const OWN_WAIT: Duration = Duration::from_millis(50);

/// Reads a partition on a thread that may block.
pub struct Reader<'a> {
    partition: &'a Partition,
    kafka: &'a KafkaSettings,
    places: &'a Semaphore,
    runtime: Handle,
    stop: &'a CancellationToken,
    own: Option<Own<'a>>,
}

/// A client for one partition.
struct Own<'a> {
    consumer: BaseConsumer,
    full_at: Instant,
    _place: SemaphorePermit<'a>,
}

impl<'a> Reader<'a> {
    /// Reads through the group's consumer, to begin with. Call it on a thread of the runtime.
    pub fn new(
        partition: &'a Partition,
        kafka: &'a KafkaSettings,
        places: &'a Semaphore,
        stop: &'a CancellationToken,
    ) -> Self {
        Self { partition, kafka, places, runtime: Handle::current(), stop, own: None }
    }

    /// Whether reading is to end.
    pub fn is_stopped(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Which partition is read.
    pub(super) const fn name(&self) -> &TopicPartition {
        self.partition.name()
    }

    /// What the client said about records that it could not fetch.
    pub(super) const fn faults(&self) -> &Faults {
        self.partition.faults()
    }

    /// Notes that the next records could not be fetched.
    pub(super) fn failed(&self, error: KafkaError) {
        tracing::debug!(partition = %self.name(), %error, "kafka partition");
        self.faults().failed(error);
    }

    /// Sleeps until there may be a record, or until the end.
    pub(super) fn wait(&self) {
        if self.own.is_none() {
            self.runtime.block_on(self.stop.run_until_cancelled(self.partition.filled()));
        }
    }

    /// The next record, or what is wrong; waits for `wait` at most.
    pub(super) fn poll(&self, wait: Duration) -> Option<KafkaResult<BorrowedMessage<'_>>> {
        match &self.own {
            Some(own) => own.consumer.poll(wait),
            None => self.partition.poll(wait),
        }
    }

    /// How long the first record of a batch is polled for: not at all where a record wakes.
    pub(super) fn first_wait(&self) -> Duration {
        if self.own.is_some() { OWN_WAIT } else { Duration::ZERO }
    }

    /// Goes on at `next_offset`, after a batch that was full or nothing at all: through a client of its
    /// own while there is more than one batch can hold, through the group's otherwise.
    ///
    /// # Errors
    /// Where the group's consumer does not take the partition up again.
    pub fn choose(&mut self, is_full: bool, next_offset: i64) -> KafkaResult<()> {
        match &mut self.own {
            Some(own) if is_full => own.full_at = Instant::now(),
            Some(own) if own.full_at.elapsed() >= OWN_FOR => {
                self.own = None;
                tracing::debug!(partition = %self.name(), "back to the group's consumer");
                return self.partition.start(next_offset);
            }
            None if is_full => match self.leave_group(next_offset) {
                Ok(()) => {}
                Err(error) => {
                    tracing::debug!(partition = %self.name(), %error, "no client of its own");
                }
            },
            _ => {}
        }
        Ok(())
    }

    fn leave_group(&mut self, next_offset: i64) -> KafkaResult<()> {
        let Ok(place) = self.places.try_acquire() else { return Ok(()) };
        let name = self.partition.name();
        let consumer: BaseConsumer = self.kafka.alone().create()?;
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&name.topic, name.partition, Offset::Offset(next_offset))?;
        consumer.assign(&list)?;
        self.partition.pause()?;
        // What the group's consumer fetched for us is fetched again: its memory is given back.
        while self.partition.poll(Duration::ZERO).is_some() {}
        self.own = Some(Own { consumer, full_at: Instant::now(), _place: place });
        tracing::debug!(partition = %name, next_offset, "a client of its own");
        Ok(())
    }
}
