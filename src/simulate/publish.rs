//! Publishes the records to Kafka: in order, once each as far as a producer can promise, at a set
//! rate or as fast as the broker accepts them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use rdkafka::client::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};

use super::call_reporter::{CallReporter, CallReporterError};
use super::dialer::{self, Authorizations, Dialer};
use super::progress::Progress;
use super::traffic::{Fate, Made, Record, Topic, Traffic};
use crate::clock::Clock;
use crate::ingest::client::KafkaSettings;

/// Timeout of a broker's first answer.
const METADATA_WAIT: Duration = Duration::from_secs(10);

/// How far the traffic may fall behind its rate before it stops catching up.
const BEHIND_MAX: Duration = Duration::from_secs(1);

/// Shortest time worth a wait; librdkafka waits in milliseconds.
const AHEAD_MIN: Duration = Duration::from_millis(2);

/// Calls started between two checks of the clock and the delivery reports if no rate is set.
const CALLS_PER_LOOK: u64 = 256;

/// Why publishing fails.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// librdkafka refuses a setting.
    #[error("the Kafka producer cannot be made; check [kafka.options]")]
    Producer(#[source] KafkaError),
    /// No broker answers.
    #[error("Kafka does not answer at {brokers}; check kafka.brokers and that it runs")]
    Unreachable {
        /// The brokers that were tried.
        brokers: String,
        /// The error of librdkafka.
        source: KafkaError,
    },
    /// The local Twilio rejects a reported call.
    #[error(transparent)]
    Twilio(#[from] CallReporterError),
    /// Kafka refuses a record for good.
    #[error("Kafka refuses a record of topic {topic}")]
    Refused {
        /// The topic.
        topic: String,
        /// The error of librdkafka.
        source: KafkaError,
    },
}

/// Names of the two topics.
#[derive(Clone, Debug)]
pub struct Topics {
    /// Call events.
    pub calls: String,
    /// Rents that are due.
    pub rentals: String,
}

/// Counts records that could not be delivered.
#[derive(Clone, Default)]
struct Reports {
    failed: Arc<AtomicU64>,
    first_failure: Arc<OnceLock<KafkaError>>,
}

impl ClientContext for Reports {
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!(%error, reason, "kafka producer");
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            self.failed.fetch_add(1, Ordering::Relaxed);
            let _ = self.first_failure.set(error.clone());
        }
    }
}

/// A producer for both topics.
pub struct Publisher {
    producer: BaseProducer<Reports>,
    reports: Reports,
    topics: Topics,
    teller: Option<CallReporter>,
}

impl Publisher {
    /// Connects with our options; the operator's override them.
    ///
    /// # Errors
    /// If a setting is refused or no broker answers within 10 s.
    pub fn open(kafka: &KafkaSettings, topics: Topics) -> Result<Self, PublishError> {
        let config = kafka.with_options(with_reasons(kafka.base()));
        let reports = Reports::default();
        let producer: BaseProducer<Reports> =
            config.create_with_context(reports.clone()).map_err(PublishError::Producer)?;
        producer.client().fetch_metadata(Some(&topics.calls), METADATA_WAIT).map_err(|source| {
            PublishError::Unreachable { brokers: kafka.brokers.clone(), source }
        })?;
        Ok(Self { producer, reports, topics, teller: None })
    }

    /// Reports every call to a local Twilio as well; only it receives the lost ones.
    #[must_use]
    pub fn telling(self, teller: Option<CallReporter>) -> Self {
        Self { teller, ..self }
    }

    /// Passes one record to the producer; waits while its queue is full.
    fn publish(&self, record: Record<'_>) -> Result<(), PublishError> {
        let happened = record.topic == Topic::Calls && record.fate != Fate::MadeUp;
        if let (true, Some(teller)) = (happened, &self.teller) {
            teller.tell(record.value)?;
        }
        if record.fate == Fate::Lost {
            return Ok(());
        }
        let topic = match record.topic {
            Topic::Calls => &self.topics.calls,
            Topic::Rentals => &self.topics.rentals,
        };
        let mut waiting = BaseRecord::to(topic).key(record.key).payload(record.value);
        loop {
            match self.producer.send(waiting) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    waiting = back;
                    self.producer.poll(Duration::from_millis(5));
                }
                Err((source, _)) => {
                    return Err(PublishError::Refused { topic: topic.clone(), source });
                }
            }
        }
    }
}

/// The options of the producer, each with its reason.
fn with_reasons(mut config: ClientConfig) -> ClientConfig {
    // A record is published when every in-sync replica has it, once and in order.
    config.set("acks", "all");
    config.set("enable.idempotence", "true");
    // The partition that a Java producer would choose for the same key.
    config.set("partitioner", "murmur2_random");
    // Twilio's JSON shrinks to a fifth; lz4 takes the least time.
    config.set("compression.type", "lz4");
    // Few large batches; a demonstration at a low rate still shows its records at once.
    config.set("linger.ms", "5");
    config.set("batch.num.messages", "10000");
    config.set("batch.size", "1000000");
    // Memory: bounds the records that wait for the broker; the generator waits with them.
    config.set("queue.buffering.max.messages", "100000");
    config.set("queue.buffering.max.kbytes", "65536");
    // A broker that is away this long fails the records; the summary reports it.
    config.set("message.timeout.ms", "60000");
    // Reports only failures; the remaining records succeeded.
    config.set("delivery.report.only.error", "true");
    config
}

/// How much traffic, and how fast.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// Calls to start; none: until the time is over or the user stops it.
    pub calls: Option<u64>,
    /// Time after which no more calls are started.
    pub time: Option<Duration>,
    /// Calls started per second; none: as fast as Kafka accepts them.
    pub rate: Option<u32>,
}

/// Result of a run.
#[derive(Debug)]
pub struct Outcome {
    /// What was made.
    pub made: Made,
    /// Requests and answers of the callers, if they asked.
    pub authorizations: Option<Authorizations>,
    /// Records that no broker acknowledged.
    pub undelivered: u64,
    /// Why the first of them failed.
    pub failure: Option<String>,
    /// From the first call to the last acknowledgement.
    pub elapsed: Duration,
}

/// Publishes `traffic` to its extent; with a dialer, only calls that were allowed. Blocks: run it
/// on a thread of its own.
///
/// # Errors
/// If Kafka refuses a record for good. Records that are only not acknowledged are counted in the
/// outcome.
pub fn run(
    mut traffic: Traffic,
    extent: Extent,
    publisher: &Publisher,
    clock: &Clock,
    progress: &Progress,
    mut dialer: Option<Dialer>,
) -> Result<Outcome, PublishError> {
    let mut pace = Pace::new(extent.rate);
    let started = pace.started;
    let mut now = clock.now();
    let mut refusal = None;
    let mut publish = |record: Record<'_>| {
        if refusal.is_none() {
            refusal = publisher.publish(record).err();
        }
        progress.records.fetch_add(1, Ordering::Relaxed);
    };
    let mut calls = 0;
    while extent.calls.is_none_or(|most| calls < most) {
        if extent.rate.is_some() || calls % CALLS_PER_LOOK == 0 {
            pace.wait_for(calls, |time| publisher.producer.poll(time));
            now = clock.now();
            let over = extent.time.is_some_and(|time| started.elapsed() >= time);
            if over || progress.stop.load(Ordering::Relaxed) {
                break;
            }
        }
        match &mut dialer {
            None => traffic.start_call(now, &mut publish),
            Some(dialer) => dial(&mut traffic, dialer, now, &mut publish),
        }
        calls += 1;
        progress.calls.store(calls, Ordering::Relaxed);
    }
    let authorizations = dialer.map(|mut dialer| {
        while let Some(allowed) = dialer.wait() {
            traffic.make_call(allowed, clock.now(), &mut publish);
        }
        dialer.end()
    });
    traffic.finish(clock.now(), &mut publish);
    if let Some(refusal) = refusal {
        return Err(refusal);
    }
    if let Some(teller) = &publisher.teller {
        teller.finish()?;
    }
    // After `message.timeout.ms` every record has failed or arrived.
    let flushed = publisher.producer.flush(Duration::from_secs(70));
    let reports = &publisher.reports;
    let waiting = u64::try_from(publisher.producer.in_flight_count()).unwrap_or(0);
    let failure = reports.first_failure.get().map(KafkaError::to_string);
    Ok(Outcome {
        made: traffic.made(),
        authorizations,
        undelivered: reports.failed.load(Ordering::Relaxed) + waiting,
        failure: failure.or_else(|| flushed.err().map(|error| error.to_string())),
        elapsed: started.elapsed(),
    })
}

/// Asks whether a call may be made, and makes the calls allowed meanwhile. Incoming calls are made
/// without asking.
fn dial(
    traffic: &mut Traffic,
    dialer: &mut Dialer,
    now: DateTime<Utc>,
    publish: &mut impl FnMut(Record<'_>),
) {
    while let Some(allowed) = dialer.allowed() {
        traffic.make_call(allowed, now, publish);
    }
    let planned = traffic.plan_call();
    if dialer::is_dialled(&planned) {
        dialer.ask(planned);
    } else {
        traffic.make_call(planned, now, publish);
    }
    traffic.publish_due(now, publish);
}

/// Starts calls evenly in time.
struct Pace {
    started: Instant,
    /// Moved forward when the traffic cannot keep up.
    origin: Instant,
    rate: Option<u32>,
}

impl Pace {
    fn new(rate: Option<u32>) -> Self {
        let started = Instant::now();
        Self { started, origin: started, rate }
    }

    /// Waits until call number `calls` is due, and serves the producer meanwhile.
    fn wait_for(&mut self, calls: u64, poll: impl Fn(Duration)) {
        let Some(rate) = self.rate else {
            return poll(Duration::ZERO);
        };
        let rate = u64::from(rate.max(1));
        let part = Duration::from_nanos((calls % rate) * 1_000_000_000 / rate);
        let due = Duration::from_secs(calls / rate) + part;
        let passed = self.origin.elapsed();
        let ahead = due.saturating_sub(passed);
        let behind = passed.saturating_sub(due);
        if behind > BEHIND_MAX {
            self.origin += behind;
        } else if ahead >= AHEAD_MIN {
            poll(ahead);
        }
    }
}
