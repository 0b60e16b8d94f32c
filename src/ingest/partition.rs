//! One assigned partition: where it can start, and where its records wait.

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
/// How long the client may take to take up a partition that was just assigned.
const START_TIMEOUT: Duration = Duration::from_secs(2);
/// Where a partition can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watermarks {
    /// First offset that Kafka still has.
    pub low: i64,
    /// First offset that Kafka does not have yet.
    pub high: i64,
}

/// A partition that is ours.
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

    /// Why its next records cannot be fetched; none: nothing went wrong since the last one.
    pub fn fault(&self) -> Option<Fault> {
        self.faults.now()
    }

    /// What the client said about records that it could not fetch.
    pub(super) const fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Forgets the fault, before records that could not be read are tried again.
    pub fn forget_fault(&self) {
        self.faults.clear();
    }

    /// Notes that the next records could not be fetched.
    pub(super) fn failed(&self, error: KafkaError) {
        tracing::debug!(partition = %self.name, %error, "kafka partition");
        self.faults.failed(error);
    }

    /// The next record of its queue, or what is wrong; waits for `wait` at most.
    pub(super) fn poll(&self, wait: Duration) -> Option<KafkaResult<BorrowedMessage<'_>>> {
        self.queue.poll(wait)
    }

    /// Asks Kafka where the partition begins and ends. Blocks for up to 5 s.
    ///
    /// # Errors
    /// Where Kafka cannot be asked: try again.
    pub fn watermarks(&self) -> KafkaResult<Watermarks> {
        let (low, high) = self.consumer.fetch_watermarks(
            &self.name.topic,
            self.name.partition,
            REQUEST_TIMEOUT,
        )?;
        Ok(Watermarks { low, high })
    }

    /// Id of the Kafka cluster. Blocks for up to 5 s; `None` while it cannot be asked.
    pub fn cluster_id(&self) -> Option<String> {
        self.consumer.client().fetch_cluster_id(REQUEST_TIMEOUT)
    }

    /// The offset that Kafka itself has for our group, if any. Blocks for up to 5 s.
    ///
    /// # Errors
    /// Where Kafka cannot be asked: try again.
    pub fn committed_offset(&self) -> KafkaResult<Option<i64>> {
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.name.topic, self.name.partition);
        let committed = self.consumer.committed_offsets(list, REQUEST_TIMEOUT)?;
        Ok(committed.elements().first().and_then(|element| match element.offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        }))
    }

    /// Starts reading at `offset`. Blocks while the client takes the partition up.
    ///
    /// # Errors
    /// Where the client refuses, or the partition was taken away meanwhile.
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
                    tracing::debug!(partition = %self.name, %error, "seeks again");
                    std::thread::sleep(Duration::from_millis(20));
                }
                Some(Err(error)) => return Err(error),
                _ => break,
            }
        }
        self.consumer.resume(&list)
    }

    /// Stops reading, for instance while the partition is halted.
    ///
    /// # Errors
    /// Where the partition was taken away meanwhile.
    pub fn pause(&self) -> KafkaResult<()> {
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.name.topic, self.name.partition);
        self.consumer.pause(&list)
    }

    /// Tells Kafka how far the ledger is; for lag tools, and as a witness. Does not wait.
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
            tracing::debug!(partition = %self.name, %error, "offset not told to kafka");
        }
    }
}
