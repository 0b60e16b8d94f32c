//! One assigned partition: where it can start, and the queue of its records.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::BorrowedMessage;
use rdkafka::{Offset, TopicPartitionList};

use super::client::{Consumer, Context, TopicPartition};
use super::fault::{Fault, Faults};

/// How long one request to Kafka may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the client may take to start a partition that was just assigned.
const START_TIMEOUT: Duration = Duration::from_secs(2);
/// The readable range of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watermarks {
    /// First offset that Kafka still has.
    pub low: i64,
    /// First offset that Kafka does not have yet.
    pub high: i64,
}

/// A partition assigned to this process.
pub struct Partition {
    consumer: Arc<Consumer>,
    queue: PartitionQueue<Context>,
    name: TopicPartition,
    faults: Faults,
}

impl Partition {
    /// Takes the partition's own queue; it stays paused until [`Self::start`].
    pub fn open(consumer: &Arc<Consumer>, name: &TopicPartition) -> Option<Self> {
        let queue = consumer.split_partition_queue(&name.topic, name.partition)?;
        Some(Self {
            consumer: Arc::clone(consumer),
            queue,
            name: name.clone(),
            faults: Faults::default(),
        })
    }

    /// Why its next records cannot be fetched; none if nothing failed since the last one.
    pub fn fault(&self) -> Option<Fault> {
        self.faults.now()
    }

    /// The client's errors about records that it could not fetch.
    pub(super) const fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Forgets the fault before unreadable records are tried again.
    pub fn forget_fault(&self) {
        self.faults.clear();
    }

    /// Notes that the next records could not be fetched.
    pub(super) fn failed(&self, error: KafkaError) {
        tracing::debug!(partition = %self.name, %error, "kafka partition");
        self.faults.failed(error);
    }

    /// The next record of its queue or an error; waits for at most `wait`.
    pub(super) fn poll(&self, wait: Duration) -> Option<KafkaResult<BorrowedMessage<'_>>> {
        self.queue.poll(wait)
    }

    /// Asks Kafka where the partition begins and ends. Blocks for up to 5 s.
    ///
    /// # Errors
    /// If Kafka cannot be reached: try again.
    pub fn watermarks(&self) -> KafkaResult<Watermarks> {
        let (low, high) = self.consumer.fetch_watermarks(
            &self.name.topic,
            self.name.partition,
            REQUEST_TIMEOUT,
        )?;
        Ok(Watermarks { low, high })
    }

    /// Id of the Kafka cluster; `None` if it cannot be reached. Blocks for up to 5 s.
    pub fn cluster_id(&self) -> Option<String> {
        self.consumer.client().fetch_cluster_id(REQUEST_TIMEOUT)
    }

    /// The offset committed to Kafka for our group, if any. Blocks for up to 5 s.
    ///
    /// # Errors
    /// If Kafka cannot be reached: try again.
    pub fn committed_offset(&self) -> KafkaResult<Option<i64>> {
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.name.topic, self.name.partition);
        let committed = self.consumer.committed_offsets(list, REQUEST_TIMEOUT)?;
        Ok(committed.elements().first().and_then(|element| match element.offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        }))
    }

    /// Starts reading at `offset`. Blocks until the client has sought it.
    ///
    /// # Errors
    /// If the client refuses, or the partition was revoked meanwhile.
    pub fn start(&self, offset: i64) -> KafkaResult<()> {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.name.topic, self.name.partition, Offset::Offset(offset))?;
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            let sought = self.consumer.seek_partitions(list.clone(), REQUEST_TIMEOUT)?;
            match sought
                .elements()
                .first()
                .map(rdkafka::topic_partition_list::TopicPartitionListElem::error)
            {
                Some(Err(error)) if Instant::now() < deadline => {
                    tracing::debug!(partition = %self.name, %error, "seeking again");
                    std::thread::sleep(Duration::from_millis(20));
                }
                Some(Err(error)) => return Err(error),
                _ => break,
            }
        }
        self.consumer.resume(&list)
    }

    /// Pauses reading, for instance while the partition is halted.
    ///
    /// # Errors
    /// If the partition was revoked meanwhile.
    pub fn pause(&self) -> KafkaResult<()> {
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.name.topic, self.name.partition);
        self.consumer.pause(&list)
    }

    /// Commits the ledger's offset to Kafka, for lag tools and as a witness. Does not wait.
    pub fn commit_to_kafka(&self, next_offset: i64) {
        let mut list = TopicPartitionList::new();
        let committed = list
            .add_partition_offset(
                &self.name.topic,
                self.name.partition,
                Offset::Offset(next_offset),
            )
            .and_then(|()| self.consumer.commit(&list, rdkafka::consumer::CommitMode::Async));
        if let Err(error) = committed {
            tracing::debug!(partition = %self.name, %error, "offset not committed to kafka");
        }
    }
}
