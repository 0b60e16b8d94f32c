//! The charging loop: runs Kafka → decode → rate → commit → project for each partition.
//!
//! It alone controls the flow between [`ingest`](crate::ingest) and [`ledger`](crate::ledger): it
//! reads where a partition starts, gathers, commits, and restarts where the ledger says. It never
//! writes money itself.

mod catch_up;
pub(crate) mod checkpoint;
mod count;
mod end;
mod partition;
mod prefetch;
mod progress;
mod readiness;
mod rejected_bytes;
mod rentals;
mod standing;
mod watch;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};
use std::time::Duration;

use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::balance::Balance;
use crate::clock::Clock;
use crate::health::Health;
use crate::ingest::batch::Batch;
use crate::ingest::client::{self, Assignment, KafkaSettings, TopicPartition};
use crate::ingest::decode::{Limits, Topic};
use crate::ingest::gather::BatchLimits;
use crate::ingest::idle::IdlePartitions;
use crate::ingest::permits::Permits;
use crate::ingest::topics;
use crate::ledger::batch::{Charger, Committed, Outcome};
use crate::ledger::rentals::RetryPolicy;
use progress::Progress;
use readiness::Readiness;

pub(crate) use readiness::COMPONENT;

/// Pause after a failed attempt; doubled after each further one, up to [`RETRY_WAIT_MAX`].
pub(crate) const RETRY_WAIT: Duration = Duration::from_millis(50);
/// Longest pause; the end of an outage is noticed within this time.
pub(crate) const RETRY_WAIT_MAX: Duration = Duration::from_secs(1);

/// Settings of the meter.
#[derive(Clone, Debug)]
pub struct MeterSettings {
    /// Kafka and the group.
    pub kafka: KafkaSettings,
    /// Topic of call events.
    pub topic_calls: String,
    /// Topic of rental events.
    pub topic_rentals: String,
    /// Partitions of a topic that is created.
    pub partitions: i32,
    /// Limits of a batch.
    pub batch: BatchLimits,
    /// Most batches committed at the same time.
    pub commits_max: usize,
    /// Most large batches in memory at the same time.
    pub large_max: usize,
    /// Limits of what is accepted.
    pub limits: Limits,
    /// Bytes that rejected records may take on disk before their values stay in Kafka.
    pub rejects_bytes_max: i64,
    /// When unpaid rents are retried.
    pub rental_retry: RetryPolicy,
    /// How long a partition may make no progress while records wait, and a member of the group may
    /// wait for an assignment.
    pub stall_max: Duration,
}

/// The meter's parts.
#[derive(Clone, Debug)]
pub struct Meter {
    /// Its settings.
    pub settings: Arc<MeterSettings>,
    /// Charges batches in the ledger.
    pub charger: Arc<Charger>,
    /// Receives what was committed.
    pub balance: Balance,
    /// The clock.
    pub clock: Clock,
    /// Reports the state of Kafka, Postgres and each partition.
    pub health: Health,
}

/// State that all partitions of a process share.
#[derive(Debug)]
struct Shared {
    meter: Meter,
    /// Bounds the batches committed at the same time.
    commits: Semaphore,
    /// Bounds the large batches in memory.
    permits: Permits,
    /// Bytes that rejected records may still take before their values stay in Kafka.
    reject_bytes_left: AtomicI64,
    /// Batches that still keep the bytes of their calls.
    calls_kept: AtomicU32,
    /// How far each partition of this process is.
    progress: Progress,
    /// Partitions that wait for their next record.
    idle: Arc<IdlePartitions>,
    /// Whether the group has assigned this process its partitions and all of them have started.
    readiness: Readiness,
    /// Notified when a partition needs a new assignment.
    rejoin: Notify,
    /// Bounds the partitions whose status events are read again at the same time.
    catch_ups: Semaphore,
}

impl Shared {
    /// Counts a batch's rejected records against the cap until their size is read again.
    fn take_reject_bytes(&self, batch: &Batch, committed: &Committed) {
        let is_kept = |outcome: &Outcome| matches!(outcome, Outcome::Rejected | Outcome::Conflict);
        if committed.outcomes.iter().any(is_kept) {
            let bytes = i64::try_from(batch.bytes()).unwrap_or(i64::MAX);
            self.reject_bytes_left.fetch_sub(bytes, Ordering::Relaxed);
        }
    }
}

/// Consumes and charges until `shutdown`, then finishes what is in flight and leaves the group.
///
/// # Errors
/// If librdkafka refuses a setting; any other failure is retried.
pub async fn run(meter: Meter, shutdown: CancellationToken) -> Result<(), KafkaError> {
    let settings = Arc::clone(&meter.settings);
    let names = [settings.topic_calls.as_str(), settings.topic_rentals.as_str()];
    let mut membership = client::open(&settings.kafka)?;
    let idle = IdlePartitions::open(&settings.kafka)?;
    let health = meter.health.clone();
    let shared = Arc::new(Shared {
        commits: Semaphore::new(settings.commits_max),
        permits: Permits::new(settings.large_max),
        reject_bytes_left: AtomicI64::new(settings.rejects_bytes_max),
        calls_kept: AtomicU32::new(0),
        progress: Progress::default(),
        idle,
        readiness: Readiness::new(health),
        rejoin: Notify::new(),
        catch_ups: Semaphore::new(catch_up::AT_ONCE),
        meter,
    });
    let tasks = TaskTracker::new();
    let joining = join_group(Arc::clone(&shared), Arc::clone(&membership.consumer));
    let joining_ends = shutdown.clone();
    tasks.spawn(async move { joining_ends.run_until_cancelled(joining).await });
    tasks.spawn(standing::look(Arc::clone(&shared), shutdown.clone()));
    tasks.spawn(rentals::retry(Arc::clone(&shared), shutdown.clone()));
    tasks.spawn(watch::rejects(Arc::clone(&shared), shutdown.clone()));
    tasks.spawn(watch::kafka(
        Arc::clone(&shared),
        Arc::clone(&membership.consumer),
        Arc::clone(&membership.brokers_down),
        shutdown.clone(),
    ));
    let stop_polling = Arc::new(AtomicBool::new(false));
    let polling = {
        let (consumer, stop) = (Arc::clone(&membership.consumer), Arc::clone(&stop_polling));
        tokio::task::spawn_blocking(move || client::poll(&consumer, &stop))
    };

    let mut workers = Workers::default();
    let mut without_since = None;
    loop {
        let rejoin = async {
            tokio::select! {
                () = shared.rejoin.notified() => {}
                () = waited_for_assignment(without_since, settings.stall_max) => {
                    tracing::info!("the group assigns nothing: joining it again");
                }
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => break,
            () = rejoin => {
                without_since = without_since.map(|_| Instant::now());
                if let Err(error) = client::rejoin(&membership.consumer, &names) {
                    tracing::error!(%error, "the group cannot be joined again");
                }
            }
            assignment = membership.assignments.recv() => match assignment {
                Some(Assignment::Assigned(partitions)) => {
                    tracing::info!(partitions = partitions.len(), "partitions assigned");
                    without_since = None;
                    shared.readiness.assigned(&partitions);
                    for partition in partitions {
                        workers.start(&shared, &membership.consumer, partition);
                    }
                }
                Some(Assignment::Revoked { done }) => {
                    tracing::info!("partitions revoked");
                    shared.readiness.revoked();
                    workers.stop(&shared.meter.health).await;
                    drop(done);
                    without_since = Some(Instant::now());
                }
                None => break,
            },
        }
    }
    workers.stop(&shared.meter.health).await;
    stop_polling.store(true, Ordering::Relaxed);
    // Releases a rebalance that waits for us while we leave.
    membership.assignments.close();
    while membership.assignments.try_recv().is_ok() {}
    if polling.await.is_err() {
        tracing::error!("the polling thread panicked");
    }
    tasks.close();
    tasks.wait().await;
    // Leaving the group blocks, and calls our callbacks.
    let consumer = membership.consumer;
    if tokio::task::spawn_blocking(move || drop(consumer)).await.is_err() {
        tracing::error!("leaving the consumer group panicked");
    }
    Ok(())
}

/// Returns once a member that gave its partitions back has waited for so long for an assignment, even
/// an empty one. Then the client may have lost its place in the group: seen where the broker and the
/// members got no CPU for many seconds.
async fn waited_for_assignment(since: Option<Instant>, patience: Duration) {
    match since {
        Some(since) => tokio::time::sleep_until(since + patience).await,
        None => std::future::pending().await,
    }
}

/// The running partitions of this process.
#[derive(Default)]
struct Workers {
    stop: CancellationToken,
    running: HashMap<TopicPartition, tokio::task::JoinHandle<()>>,
}

impl Workers {
    fn start(
        &mut self,
        shared: &Arc<Shared>,
        consumer: &Arc<client::Consumer>,
        name: TopicPartition,
    ) {
        let topic = match &name.topic {
            topic if *topic == shared.meter.settings.topic_rentals => Topic::Rentals,
            _ => Topic::Calls,
        };
        let worker = partition::Worker {
            shared: Arc::clone(shared),
            consumer: Arc::clone(consumer),
            name: name.clone(),
            topic,
            stop: self.stop.clone(),
        };
        self.running.insert(name, tokio::spawn(worker.run()));
    }

    /// Stops all partitions and waits until none has anything in flight.
    async fn stop(&mut self, health: &Health) {
        self.stop.cancel();
        for (name, worker) in self.running.drain() {
            if let Err(error) = worker.await {
                tracing::error!(partition = %name, %error, "partition worker");
            }
            health.forget(&partition::component(&name));
            count::stalled(&name, false);
        }
        self.stop = CancellationToken::new();
    }
}

/// Creates missing topics once Kafka can be reached, then joins the group: a member that joins
/// before the topics exist gets no partitions and notices them only seconds later.
async fn join_group(shared: Arc<Shared>, consumer: Arc<client::Consumer>) {
    let settings = &shared.meter.settings;
    let names = [settings.topic_calls.clone(), settings.topic_rentals.clone()];
    let (mut wait, mut has_joined) = (RETRY_WAIT, false);
    loop {
        let names_now: Vec<&str> = names.iter().map(String::as_str).collect();
        let ensured = topics::ensure(&settings.kafka, &names_now, settings.partitions).await;
        if !has_joined {
            let (asked, wanted) = (Arc::clone(&consumer), names.clone());
            let known = tokio::task::spawn_blocking(move || topics::known(&asked, &wanted)).await;
            // If Kafka does not permit creating topics, the existing ones are charged.
            let is_enough =
                known.is_ok_and(|known| known == names.len() || known > 0 && ensured.is_err());
            if is_enough {
                has_joined = true;
                if let Err(error) = consumer.subscribe(&names_now) {
                    tracing::error!(%error, "the group cannot be joined");
                }
            }
        }
        match ensured {
            Ok(()) if has_joined => return,
            Ok(()) => {}
            Err(error) => shared.readiness.waits(format!("topics cannot be made: {error}")),
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(RETRY_WAIT_MAX);
    }
}

/// Waits before the next attempt, longer each time; true if it must stop instead.
pub(crate) async fn sleep_or_stop(wait: &mut Duration, stop: &CancellationToken) -> bool {
    let stopped = tokio::time::timeout(*wait, stop.cancelled()).await.is_ok();
    *wait = (*wait * 2).min(RETRY_WAIT_MAX);
    stopped
}
