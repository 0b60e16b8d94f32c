//! The process as a member of the consumer group: starts and stops the workers of its partitions.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{RETRY_WAIT, RETRY_WAIT_MAX, Shared, count, partition, watch};
use crate::health::Health;
use crate::ingest::client::{self, Assignment, TopicPartition};
use crate::ingest::decode::Topic;
use crate::ingest::topics;

/// Why a membership ended.
pub(super) enum End {
    /// The process shuts down.
    Shutdown,
    /// The client cannot be used any more: another process has its name.
    Fatal(String),
}

/// Consumes and charges as a member of the group until `shutdown`, then finishes what is in flight
/// and leaves.
///
/// # Errors
/// If librdkafka refuses a setting; any other failure is retried.
pub(super) async fn run(
    shared: &Arc<Shared>,
    instance: Option<&str>,
    shutdown: &CancellationToken,
) -> Result<End, KafkaError> {
    let settings = &shared.meter.settings;
    let names = [settings.topic_calls.as_str(), settings.topic_rentals.as_str()];
    let mut membership = client::open(&settings.kafka, instance)?;
    let over = shutdown.child_token();
    let tasks = TaskTracker::new();
    let joining = join_group(Arc::clone(shared), Arc::clone(&membership.consumer));
    let joining_ends = over.clone();
    tasks.spawn(async move { joining_ends.run_until_cancelled(joining).await });
    tasks.spawn(watch::kafka(
        Arc::clone(shared),
        Arc::clone(&membership.consumer),
        Arc::clone(&membership.brokers_down),
        over.clone(),
    ));
    let stop_polling = Arc::new(AtomicBool::new(false));
    let mut polling = {
        let (consumer, stop) = (Arc::clone(&membership.consumer), Arc::clone(&stop_polling));
        tokio::task::spawn_blocking(move || client::poll(&consumer, &stop))
    };

    let mut workers = Workers::default();
    let mut without_since = None;
    let mut polled = None;
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
            ended = &mut polling => {
                polled = Some(ended);
                break;
            }
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
                        workers.start(shared, &membership.consumer, partition);
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
    let polled = match polled {
        Some(polled) => polled,
        None => polling.await,
    };
    over.cancel();
    tasks.close();
    tasks.wait().await;
    // Leaving the group blocks, and calls our callbacks.
    let consumer = membership.consumer;
    if tokio::task::spawn_blocking(move || drop(consumer)).await.is_err() {
        tracing::error!("leaving the consumer group panicked");
    }
    Ok(match polled {
        Ok(Ok(())) => End::Shutdown,
        Ok(Err(error)) => End::Fatal(error),
        Err(_) => End::Fatal("the polling thread panicked".to_owned()),
    })
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
