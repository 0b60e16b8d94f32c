//! Waits for records of idle partitions, for all of them with one client.
//!
//! Kafka answers a fetch when there are records or when its time is over. The consumer that charges
//! keeps that time short, because a busy partition has to wait for it (decision 0044), so it would ask
//! fifty times a second for nothing. A partition that brought nothing for a while is paused there, and
//! watched here with a fetch that waits for long. Its first record ends the watch. No record is charged
//! from here: the consumer that charges reads it again.
//!
//! A watch must never miss a record: it begins at the offset that is charged next, and the partition is
//! paused only when its watch has surely begun.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaResult;
use rdkafka::{Message as _, Offset, TopicPartitionList};
use tokio::sync::Notify;

use super::client::{KafkaSettings, POLL_WAIT, TopicPartition, poll_while_owned};

/// How long Kafka may wait before it answers that there is nothing. A partition that is watched from
/// now on is part of the next fetch, so its watch may begin this much later.
const FETCH_WAIT: Duration = Duration::from_secs(1);
/// After this time a watch has surely begun.
pub const BEGUN_AFTER: Duration = Duration::from_secs(2);

/// The watched partitions of a process.
pub struct IdlePartitions {
    consumer: BaseConsumer,
    watched: Mutex<HashMap<TopicPartition, Arc<Notify>>>,
}

impl std::fmt::Debug for IdlePartitions {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("IdlePartitions").finish_non_exhaustive()
    }
}

/// A partition that is watched; ends with this.
pub struct Watch {
    of: Arc<IdlePartitions>,
    name: TopicPartition,
    found: Arc<Notify>,
}

impl IdlePartitions {
    /// Starts the client and its thread; connects with the first watch.
    ///
    /// # Errors
    /// Where librdkafka refuses a setting, or the system has no room for a thread.
    pub fn open(settings: &KafkaSettings) -> KafkaResult<Arc<Self>> {
        let mut config = settings.reader("idle");
        // One record is enough to end a watch.
        config.set("fetch.message.max.bytes", "1024");
        config.set("queued.min.messages", "1");
        // Behind the operator's own settings: `BEGUN_AFTER` relies on it.
        let mut config = settings.with_options(config);
        config.set("fetch.wait.max.ms", FETCH_WAIT.as_millis().to_string());
        let consumer = config.create()?;
        let this = Arc::new(Self { consumer, watched: Mutex::default() });
        poll_while_owned("idle", &this, Self::poll)?;
        Ok(this)
    }

    /// Watches a partition from the offset that is read next.
    ///
    /// # Errors
    /// Where the client refuses.
    pub fn watch(self: &Arc<Self>, name: &TopicPartition, offset: i64) -> KafkaResult<Watch> {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&name.topic, name.partition, Offset::Offset(offset))?;
        let found = Arc::new(Notify::new());
        self.lock().insert(name.clone(), Arc::clone(&found));
        let watch = Watch { of: Arc::clone(self), name: name.clone(), found };
        // Where this fails, the partition is not watched any more.
        self.consumer.incremental_assign(&list)?;
        Ok(watch)
    }

    /// Ends the wait for a partition, because it is known to have records.
    pub fn found(&self, name: &TopicPartition) {
        if let Some(found) = self.lock().get(name) {
            found.notify_one();
        }
    }

    fn poll(&self) {
        match self.consumer.poll(POLL_WAIT) {
            None => {}
            Some(Ok(message)) => self.found(&TopicPartition {
                topic: message.topic().to_owned(),
                partition: message.partition(),
            }),
            // It does not say of which partition. The consumer that charges asks Kafka itself, and
            // reports what is wrong.
            Some(Err(error)) => {
                tracing::debug!(%error, "idle partitions");
                self.lock().values().for_each(|found| found.notify_one());
            }
        }
    }

    fn end(&self, watch: &Watch) {
        let mut watched = self.lock();
        if watched.get(&watch.name).is_some_and(|found| Arc::ptr_eq(found, &watch.found)) {
            watched.remove(&watch.name);
            let mut list = TopicPartitionList::new();
            list.add_partition(&watch.name.topic, watch.name.partition);
            if let Err(error) = self.consumer.incremental_unassign(&list) {
                tracing::debug!(partition = %watch.name, %error, "not watched any more");
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<TopicPartition, Arc<Notify>>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watch {
    /// Returns when the partition has a record, or when something is wrong.
    pub async fn found(&self) {
        self.found.notified().await;
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.of.end(self);
    }
}
