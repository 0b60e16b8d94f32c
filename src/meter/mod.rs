//! The charging loop: runs Kafka → decode → rate → commit → project for each partition.
//!
//! It alone controls the flow between [`ingest`](crate::ingest) and [`ledger`](crate::ledger): it
//! reads where a partition starts, gathers, commits, and restarts where the ledger says. It never
//! writes money itself.

mod catch_up;
pub(crate) mod checkpoint;
mod count;
mod end;
mod member;
mod partition;
mod prefetch;
mod progress;
mod readiness;
mod rejected_bytes;
mod rentals;
mod standing;
mod watch;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::time::Duration;

use rdkafka::error::KafkaError;
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::balance::Balance;
use crate::clock::{Clock, beat};
use crate::health::Health;
use crate::ingest::batch::Batch;
use crate::ingest::client::KafkaSettings;
use crate::ingest::decode::Limits;
use crate::ingest::gather::BatchLimits;
use crate::ingest::idle::IdlePartitions;
use crate::ingest::permits::Permits;
use crate::ledger::batch::{Charger, Committed, Outcome};
use crate::ledger::rentals::RetryPolicy;
use member::End;
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
    /// The name under which this process has its place in the group.
    pub instance: Option<String>,
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
    tasks.spawn(standing::look(Arc::clone(&shared), shutdown.clone()));
    tasks.spawn(rentals::retry(Arc::clone(&shared), shutdown.clone()));
    tasks.spawn(watch::rejects(Arc::clone(&shared), shutdown.clone()));
    let mut instance = settings.instance.as_deref();
    while let End::Fatal(error) = member::run(&shared, instance, &shutdown).await? {
        // Two processes with one name would take it from each other for ever.
        tracing::warn!(error, instance, "the group is joined again without a name");
        instance = None;
        shutdown.run_until_cancelled(beat(RETRY_WAIT_MAX)).await;
    }
    tasks.close();
    tasks.wait().await;
    Ok(())
}

/// Waits before the next attempt, longer each time; true if it must stop instead.
pub(crate) async fn sleep_or_stop(wait: &mut Duration, stop: &CancellationToken) -> bool {
    let stopped = tokio::time::timeout(*wait, stop.cancelled()).await.is_ok();
    *wait = (*wait * 2).min(RETRY_WAIT_MAX);
    stopped
}
