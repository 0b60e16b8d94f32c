//! Topics and records on the real broker.

use super::leaks::Numbers;
use crate::model::read::{Record, Topic};
use crate::traffic::Outgoing;
use futures::future::try_join_all;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{ClientConfig, Message as _};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Clone)]
pub(crate) struct Kafka {
    brokers: String,
    producer: FutureProducer,
    /// The phone numbers in the produced records.
    pub(crate) numbers: Numbers,
}

impl Kafka {
    pub(crate) fn new(brokers: &str) -> Kafka {
        Kafka {
            brokers: brokers.to_owned(),
            producer: producer(brokers),
            numbers: Numbers::default(),
        }
    }

    /// Creates a topic that keeps its records forever, and waits until it can be used.
    pub(crate) async fn create_topic(&self, name: &str, partitions: i32) {
        self.create_topic_compressed(name, partitions, "producer").await;
    }

    /// The same, with this compression at the broker; `producer` keeps the producer's.
    pub(crate) async fn create_topic_compressed(&self, name: &str, partitions: i32, how: &str) {
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1))
            .set("retention.ms", "-1")
            .set("segment.ms", "9000000000000")
            .set("compression.type", how);
        let made = self.admin().create_topics(&[topic], &options()).await.expect("Kafka answers");
        for result in made {
            result.expect("the topic is created");
        }
        self.until_known(name, partitions).await;
    }

    /// The same broker, through a producer that compresses its records.
    pub(crate) fn compressing(&self, codec: &str) -> Kafka {
        let mut config = producer_config(&self.brokers);
        // Records sent together are worth compressing.
        config.set("compression.type", codec).set("linger.ms", "50");
        Kafka {
            brokers: self.brokers.clone(),
            producer: config.create().expect("a producer that knows the codec"),
            numbers: self.numbers.clone(),
        }
    }

    /// Adds partitions to a topic, and opens a producer that knows them.
    pub(crate) async fn add_partitions(&mut self, name: &str, total: usize) {
        let more = NewPartitions::new(name, total);
        let made = self.admin().create_partitions([&more], &options()).await;
        for result in made.expect("Kafka answers") {
            result.expect("the partitions are added");
        }
        self.until_known(name, i32::try_from(total).expect("a small number")).await;
        self.producer = producer(&self.brokers);
    }

    /// Deletes topics, if they exist.
    pub(crate) async fn delete_topics(&self, names: &[&str]) {
        drop(self.admin().delete_topics(names, &options()).await);
    }

    /// Deletes a topic and waits until it is gone.
    pub(crate) async fn delete_topic(&self, name: &str) {
        self.delete_topics(&[name]).await;
        super::poll::until("the topic is deleted", PATIENCE, async || {
            (self.partitions(name) == 0).then_some(())
        })
        .await;
    }

    /// Deletes a partition's records below an offset, as retention does.
    pub(crate) async fn delete_records_before(&self, name: &str, partition: i32, offset: i64) {
        let mut places = rdkafka::TopicPartitionList::new();
        let place = rdkafka::Offset::Offset(offset);
        places.add_partition_offset(name, partition, place).expect("a place");
        self.admin().delete_records(&places, &options()).await.expect("records are deleted");
    }

    /// Number of a topic's partitions at the broker; 0 if there is no such topic.
    pub(crate) fn partitions(&self, name: &str) -> usize {
        let consumer: BaseConsumer = config(&self.brokers)
            .set("allow.auto.create.topics", "false")
            .create()
            .expect("a consumer");
        let metadata = consumer.fetch_metadata(Some(name), PATIENCE).expect("Kafka answers");
        metadata.topics().iter().map(|topic| topic.partitions().len()).sum()
    }

    /// Key and value of every record of a topic, in the order of its partitions.
    pub(crate) fn records(&self, name: &str) -> Vec<(Option<String>, Vec<u8>)> {
        let consumer: BaseConsumer =
            config(&self.brokers).set("group.id", "reader").create().expect("a consumer");
        let mut records = Vec::new();
        for partition in 0..i32::try_from(self.partitions(name)).expect("a small number") {
            let range = consumer.fetch_watermarks(name, partition, PATIENCE);
            // A partition that was made just now has no leader yet, and no record.
            if range.as_ref().is_err_and(|error| {
                error.rdkafka_error_code() == Some(RDKafkaErrorCode::NotLeaderForPartition)
            }) {
                continue;
            }
            let (low, high) = range.expect("Kafka answers");
            let mut place = rdkafka::TopicPartitionList::new();
            let offset = rdkafka::Offset::Offset(low);
            place.add_partition_offset(name, partition, offset).expect("a place");
            consumer.assign(&place).expect("the partition is taken");
            let deadline = Instant::now() + PATIENCE;
            for _ in low..high {
                // A poll may handle an event of the client and return nothing.
                let record = loop {
                    match consumer.poll(Duration::from_millis(100)) {
                        Some(record) => break record.expect("it is read"),
                        None => assert!(Instant::now() < deadline, "a record of {name}"),
                    }
                };
                let key = record.key().map(|key| String::from_utf8_lossy(key).into_owned());
                records.push((key, record.payload().unwrap_or_default().to_vec()));
            }
        }
        records
    }

    async fn until_known(&self, name: &str, partitions: i32) {
        let wanted = usize::try_from(partitions).expect("a small number");
        super::poll::until("the topic is known", PATIENCE, async || {
            (self.partitions(name) == wanted).then_some(())
        })
        .await;
    }

    /// Produces records in order within each partition; returns the place of each.
    pub(crate) async fn produce(
        &self,
        topic_name: impl Fn(Topic) -> String,
        records: &[Outgoing],
    ) -> Vec<Record> {
        for payload in records.iter().filter_map(|record| record.payload.as_ref()) {
            self.numbers.note(payload);
        }
        let sending = records.iter().map(|outgoing| {
            let name = topic_name(outgoing.topic);
            async move {
                let mut record = FutureRecord::to(&name)
                    .partition(outgoing.partition)
                    .timestamp(outgoing.timestamp_ms);
                record.key = outgoing.key.as_deref();
                record.payload = outgoing.payload.as_deref();
                self.producer.send::<[u8], [u8], _>(record, PATIENCE).await
            }
        });
        let deliveries = try_join_all(sending).await.expect("Kafka acknowledges every record");
        let placed = records.iter().zip(deliveries).map(|(outgoing, delivery)| Record {
            topic: outgoing.topic,
            partition: delivery.partition,
            offset: delivery.offset,
            timestamp_ms: outgoing.timestamp_ms,
            payload: outgoing.payload.clone(),
        });
        placed.collect()
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        config(&self.brokers).create().expect("an admin client")
    }
}

fn producer(brokers: &str) -> FutureProducer {
    producer_config(brokers).create().expect("a producer")
}

fn producer_config(brokers: &str) -> ClientConfig {
    let mut config = config(brokers);
    config
        .set("enable.idempotence", "true")
        .set("linger.ms", "2")
        .set("queue.buffering.max.messages", "200000")
        .set("message.timeout.ms", "120000");
    config
}

fn config(brokers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers);
    config
}

fn options() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(PATIENCE)).request_timeout(Some(PATIENCE))
}
