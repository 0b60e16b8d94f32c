//! The consumer: its options, each with its reason, and how it handles a rebalance.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::{mpsc, oneshot};

use super::incidents::Incidents;

/// How long a rebalance waits for batches in flight. A zombie's batch fails in any case.
const REVOKE_WAIT: Duration = Duration::from_secs(3);
/// How long a client that has given its partitions back may take to say that it leaves.
const LEAVING: Duration = Duration::from_millis(200);

/// How long one poll of a thread of its own blocks, which handles what arrives meanwhile. Bounds how
/// long the thread outlives its client.
pub const POLL_WAIT: Duration = Duration::from_secs(10);

/// The option with a member's name: KIP-345, static membership.
const INSTANCE: &str = "group.instance.id";
/// Most characters of a host's name; Kafka allows 249 in all.
const HOST_MAX: usize = 200;

/// How to reach Kafka.
#[derive(Clone, Debug)]
pub struct KafkaSettings {
    /// `host:port,…`
    pub brokers: String,
    /// Consumer group.
    pub group: String,
    /// The operator's librdkafka settings (TLS, SASL); they override ours.
    pub options: BTreeMap<String, String>,
}

impl From<&crate::config::Kafka> for KafkaSettings {
    fn from(kafka: &crate::config::Kafka) -> Self {
        let options = kafka.options.iter();
        Self {
            brokers: kafka.brokers.clone(),
            group: kafka.group.clone(),
            options: options.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        }
    }
}

impl KafkaSettings {
    /// The name under which a member that was killed gets its place back: the operator's, else this
    /// host and the port on which the process listens, which no other process of the host can use.
    pub fn instance(&self, host: &str, port: u16) -> Option<String> {
        if let Some(chosen) = self.options.get(INSTANCE) {
            return Some(chosen.clone());
        }
        let is_legal = |it: char| it.is_ascii_alphanumeric() || matches!(it, '.' | '_' | '-');
        let host = host.chars().map(|it| if is_legal(it) { it } else { '_' });
        (port != 0).then(|| format!("{}-{port}", host.take(HOST_MAX).collect::<String>()))
    }

    /// The options that all our clients share.
    pub fn base(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers);
        config.set("client.id", "callmeter");
        // Finds a broker again within a second of its return.
        config.set("reconnect.backoff.ms", "50");
        config.set("reconnect.backoff.max.ms", "1000");
        // Resolves names again when a broker has moved to another address family.
        config.set("broker.address.family", "any");
        config.set_log_level(RDKafkaLogLevel::Warning);
        config
    }

    /// The options of a client that reads, but never joins the group and commits nothing. It never
    /// resets silently: an offset out of range is an error.
    pub fn reader(&self, purpose: &str) -> ClientConfig {
        let mut config = self.base();
        // The client requires a group name, even if it never joins.
        config.set("group.id", format!("{}-{purpose}", self.group));
        config.set("enable.auto.commit", "false");
        config.set("enable.auto.offset.store", "false");
        config.set("auto.offset.reset", "error");
        config.set("allow.auto.create.topics", "false");
        config
    }

    /// Adds the operator's settings, which override ours.
    pub fn with_options(&self, mut config: ClientConfig) -> ClientConfig {
        for (key, value) in &self.options {
            config.set(key, value);
        }
        config
    }

    fn consumer(&self, instance: Option<&str>) -> ClientConfig {
        let mut config = self.base();
        config.set("group.id", &self.group);
        // Offsets come from Postgres; the ones in Kafka are committed explicitly, for lag tools.
        config.set("enable.auto.commit", "false");
        config.set("enable.auto.offset.store", "false");
        // Never resets silently: an offset out of range is reported and stops the partition.
        config.set("auto.offset.reset", "error");
        // A killed member's partitions are free after 6 s, the least that brokers allow by default.
        // One that starts again under its name has them back at once, and no other one waits.
        config.set("session.timeout.ms", "6000");
        config.set("heartbeat.interval.ms", "1000");
        // Each rebalance assigns everything again: all workers stop, read the ledger's offsets and
        // continue. Rebalances are rare and take milliseconds.
        config.set("partition.assignment.strategy", "roundrobin");
        // A topic that is created later is noticed within 2 s.
        config.set("topic.metadata.refresh.interval.ms", "2000");
        config.set("allow.auto.create.topics", "false");
        // The default of 1 s stalls a fast consumer each time its queue is full.
        config.set("fetch.queue.backoff.ms", "5");
        // A partition whose queue was full is fetched again only with the next fetch; while all
        // others are idle, it would wait this long (500 ms by default).
        config.set("fetch.wait.max.ms", "20");
        // Memory: at most this much waits undecoded per partition.
        config.set("queued.max.messages.kbytes", "3072");
        config.set("queued.min.messages", "20000");
        config.set("fetch.message.max.bytes", "1048576");
        config.set("enable.partition.eof", "false");
        // Never charges a record that is damaged on the broker's disk.
        config.set("check.crcs", "true");
        let mut config = self.with_options(config);
        match instance {
            Some(instance) => config.set(INSTANCE, instance),
            None => config.remove(INSTANCE),
        };
        config
    }
}

/// A partition of a topic.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    /// Topic.
    pub topic: String,
    /// Partition, from 0.
    pub partition: i32,
}

impl std::fmt::Display for TopicPartition {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}/{}", self.topic, self.partition)
    }
}

/// A change of the assignment.
#[derive(Debug)]
pub enum Assignment {
    /// These partitions are ours; each is paused until it is started.
    Assigned(Vec<TopicPartition>),
    /// All partitions are revoked; the rebalance waits up to 3 s until `done` is dropped or sent.
    Revoked {
        /// Dropped or sent when nothing is in flight any more.
        done: oneshot::Sender<()>,
    },
}

/// Receives rebalances and errors from the client.
#[derive(Debug)]
pub struct Context {
    assignments: mpsc::Sender<Assignment>,
    brokers_down: Arc<AtomicBool>,
    incidents: Incidents,
}

impl ClientContext for Context {
    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) {
            self.brokers_down.store(true, Ordering::Relaxed);
        }
        // The client tries an unreachable broker every second and reports each failure.
        if self.incidents.begins(error.to_string()) {
            tracing::warn!(%error, reason, "kafka");
        }
    }
}

impl ConsumerContext for Context {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        event: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        let result = if event == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            self.assign_paused(consumer, partitions)
        } else {
            self.revoke(consumer)
        };
        if let Err(error) = result {
            tracing::error!(%error, "rebalance");
        }
    }
}

impl Context {
    /// Assigns the partitions at their end and paused, so that nothing is fetched before the
    /// ledger's offset is known; reading the offset here would block the client.
    fn assign_paused(
        &self,
        consumer: &BaseConsumer<Self>,
        partitions: &mut TopicPartitionList,
    ) -> KafkaResult<()> {
        partitions.set_all_offsets(Offset::End)?;
        consumer.assign(partitions)?;
        consumer.pause(partitions)?;
        let assigned = partitions
            .elements()
            .iter()
            .map(|element| TopicPartition {
                topic: element.topic().to_owned(),
                partition: element.partition(),
            })
            .collect();
        let _ = self.assignments.blocking_send(Assignment::Assigned(assigned));
        Ok(())
    }

    fn revoke(&self, consumer: &BaseConsumer<Self>) -> KafkaResult<()> {
        let (done, mut waited) = oneshot::channel();
        if self.assignments.blocking_send(Assignment::Revoked { done }).is_ok() {
            let deadline = std::time::Instant::now() + REVOKE_WAIT;
            while matches!(waited.try_recv(), Err(oneshot::error::TryRecvError::Empty))
                && std::time::Instant::now() < deadline
            {
                std::thread::sleep(Duration::from_millis(2));
            }
        }
        consumer.unassign()
    }
}

/// A member of the consumer group.
pub type Consumer = BaseConsumer<Context>;

/// A member of the group with its channels.
pub struct Membership {
    /// The member itself; must be polled continuously ([`poll`]).
    pub consumer: Arc<Consumer>,
    /// Changes of the assignment.
    pub assignments: mpsc::Receiver<Assignment>,
    /// Set when no broker can be reached; cleared by the code that reaches one.
    pub brokers_down: Arc<AtomicBool>,
}

/// Creates a member; it joins the group when it subscribes. Under the name of an `instance` it takes
/// the place of the member that had this name.
///
/// # Errors
/// If librdkafka refuses a setting.
pub fn open(settings: &KafkaSettings, instance: Option<&str>) -> KafkaResult<Membership> {
    let (sender, assignments) = mpsc::channel(16);
    let brokers_down = Arc::new(AtomicBool::new(false));
    let (down, incidents) = (Arc::clone(&brokers_down), Incidents::default());
    let context = Context { assignments: sender, brokers_down: down, incidents };
    let consumer: Consumer = settings.consumer(instance).create_with_context(context)?;
    Ok(Membership { consumer: Arc::new(consumer), assignments, brokers_down })
}

/// Starts a thread that polls a client, which may block for `POLL_WAIT` each time, until nobody else
/// owns the client.
///
/// # Errors
/// If the system cannot start a thread.
pub fn poll_while_owned<T: Send + Sync + 'static>(
    name: &str,
    client: &Arc<T>,
    poll: impl Fn(&T) + Send + 'static,
) -> KafkaResult<()> {
    let polled = Arc::downgrade(client);
    let thread = std::thread::Builder::new().name(name.to_owned());
    let started = thread.spawn(move || {
        while let Some(client) = polled.upgrade() {
            poll(&client);
        }
    });
    started.map_err(|error| KafkaError::ClientCreation(format!("no thread: {error}")))?;
    Ok(())
}

/// Leaves the group's assignment and asks for a new one. Only this takes up a partition again that
/// the client gave up because an offset was out of range.
///
/// # Errors
/// If the client refuses.
pub fn rejoin(consumer: &Consumer, topics: &[&str]) -> KafkaResult<()> {
    consumer.unsubscribe();
    consumer.subscribe(topics)
}

/// Serves the client's callbacks until `stop` is set, then leaves the group. Blocks.
///
/// # Errors
/// The client's fatal error, after which it serves nothing: another process has taken its name.
pub fn poll(consumer: &Consumer, stop: &AtomicBool) -> Result<(), String> {
    let incidents = Incidents::default();
    while !stop.load(Ordering::Relaxed) {
        // Records arrive in the partitions' own queues; records fetched before a partition got its
        // queue are fetched again by the seek. A topic that does not exist yet is an error here;
        // its records arrive once it exists.
        if let Some(Err(error)) = consumer.poll(Duration::from_millis(500))
            && incidents.begins(error.to_string())
        {
            tracing::warn!(%error, "kafka consumer");
        }
        if let Some((_, reason)) = consumer.client().fatal_error() {
            return Err(reason);
        }
    }
    consumer.unsubscribe();
    // A named member leaves only before it is closed: once its partitions are given back.
    let deadline = std::time::Instant::now() + REVOKE_WAIT;
    while consumer.assignment().is_ok_and(|held| held.count() > 0)
        && std::time::Instant::now() < deadline
    {
        consumer.poll(Duration::from_millis(10));
    }
    consumer.poll(LEAVING);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_named_by_the_operator_or_by_its_host_and_port() {
        let mut settings = KafkaSettings {
            brokers: "127.0.0.1:9092".to_owned(),
            group: "callmeter".to_owned(),
            options: BTreeMap::new(),
        };
        let long = "h".repeat(300);
        let named = |settings: &KafkaSettings, host, port| settings.instance(host, port);
        assert_eq!(named(&settings, "meter-1.eu", 8080).as_deref(), Some("meter-1.eu-8080"));
        assert_eq!(named(&settings, "böse name", 1).as_deref(), Some("b_se_name-1"));
        assert_eq!(named(&settings, &long, 65_535).map(|name| name.len()), Some(206));
        assert_eq!(named(&settings, "meter", 0), None, "any port");
        settings.options.insert(INSTANCE.to_owned(), "meter-7".to_owned());
        assert_eq!(named(&settings, "meter", 8080).as_deref(), Some("meter-7"));
        assert_eq!(named(&settings, "meter", 0).as_deref(), Some("meter-7"));
        let config = |instance| settings.consumer(instance);
        assert_eq!(config(Some("meter-7")).get(INSTANCE), Some("meter-7"));
        assert_eq!(config(None).get(INSTANCE), None, "it joins without a name");
    }
}
