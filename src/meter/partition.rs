//! One partition's worker: finds its start, gathers on a thread of its own, commits in order.
//!
//! While one batch commits, the next is gathered and decoded. A batch is handed over only when the
//! one before it is committed, so at most two are in memory.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use rdkafka::error::KafkaError;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::catch_up::CatchUp;
use super::checkpoint;
use super::end::End;
use super::prefetch::{Facts, FromPrefetch, Prefetch};
use super::progress::Session;
use super::{RETRY_WAIT, Shared, count, sleep_or_stop};
use crate::balance::{Projector, StatusEventsOffset};
use crate::ingest::batch::Batch;
use crate::ingest::client::{Consumer, TopicPartition};
use crate::ingest::decode::{Event, Rejection, Topic};
use crate::ingest::partition::Partition;
use crate::ingest::record::Memory;
use crate::ledger;
use crate::ledger::batch::{CommitError, Source};
use crate::ledger::offsets::{self, StoredOffset, Stream};
use crate::ledger::store::StoreError;

/// How often a halted partition checks whether an operator moved its offset.
const HALTED_WAIT: std::time::Duration = std::time::Duration::from_secs(1);

/// How long a partition that the client gave up waits for its new assignment.
const REJOIN_WAIT: std::time::Duration = std::time::Duration::from_secs(10);

/// Works on one partition until it is revoked.
pub(super) struct Worker {
    pub shared: Arc<Shared>,
    pub consumer: Arc<Consumer>,
    pub name: TopicPartition,
    pub topic: Topic,
    pub stop: CancellationToken,
}

/// Name of a partition's component in the health report.
pub(super) fn component(name: &TopicPartition) -> String {
    format!("partition {name}")
}

impl Worker {
    /// Runs sessions until the partition is revoked.
    pub(super) async fn run(self) {
        let health = &self.shared.meter.health;
        let component = component(&self.name);
        let mut wait = RETRY_WAIT;
        loop {
            let started = Instant::now();
            match self.session().await {
                End::Stopped => return,
                End::Restart => {}
                End::Halted(halt) => {
                    health.down(component.clone(), halt.to_string());
                    count::halted(&self.name, true);
                    count::stalled(&self.name, false);
                    self.shared.readiness.started(&self.name);
                    let mut halted_wait = HALTED_WAIT;
                    if sleep_or_stop(&mut halted_wait, &self.stop).await {
                        return;
                    }
                    continue;
                }
                End::Kafka(error) => {
                    health.down(component.clone(), format!("kafka cannot be asked: {error}"));
                }
                End::GivenUp(error) => {
                    tracing::info!(partition = %self.name, %error, "asking for a new assignment");
                    self.shared.rejoin.notify_one();
                    // Nothing can be done until the partition is assigned again.
                    let mut rejoin_wait = REJOIN_WAIT;
                    if sleep_or_stop(&mut rejoin_wait, &self.stop).await {
                        return;
                    }
                }
                End::Ledger(error) => {
                    tracing::debug!(partition = %self.name, error = %chain(&error), "ledger");
                    self.report_ledger(&error);
                }
            }
            if started.elapsed() > super::RETRY_WAIT_MAX {
                wait = RETRY_WAIT;
            }
            if sleep_or_stop(&mut wait, &self.stop).await {
                return;
            }
        }
    }

    async fn session(&self) -> End {
        match self.session_or_end().await {
            Ok(end) | Err(end) => end,
        }
    }

    async fn session_or_end(&self) -> Result<End, End> {
        let meter = &self.shared.meter;
        let (partition, facts) = self.ask_kafka().await?;
        let stored = offsets::open(
            meter.charger.store(),
            &self.name.topic,
            self.name.partition,
            facts.watermarks.low,
            &facts.cluster_id,
            meter.clock.now(),
        )
        .await?;
        checkpoint::check(&stored, facts.watermarks, &facts.cluster_id).map_err(End::Halted)?;
        if facts.committed.is_some_and(|committed| committed > stored.next_offset) {
            // An offset set by hand has no record before it; it may go back.
            if stored.last_record_at.is_some() {
                // Kafka's committed offset includes charges that Postgres no longer has.
                let incarnation = ledger::incarnation::raise(meter.charger.store()).await?;
                tracing::error!(partition = %self.name, incarnation, "postgres went back in time");
            }
            partition.commit_to_kafka(stored.next_offset);
        }
        let stream = stored.stream.clone();
        self.charge_from(partition, facts, stored, &stream).await
    }

    /// Gathers and commits until the session ends.
    async fn charge_from(
        &self,
        partition: Arc<Partition>,
        facts: Facts,
        stored: StoredOffset,
        stream: &Stream,
    ) -> Result<End, End> {
        let meter = &self.shared.meter;
        let session = self.stop.child_token();
        let _ends_with_this = session.clone().drop_guard();
        let catch_up = self.catch_up(&stored, session.clone());
        let projector = meter.balance.projector().of_partition(Arc::clone(&catch_up.applied));
        let mut catch_up = Some(catch_up);
        let is_busy = Arc::new(AtomicBool::new(false));
        let spare = Arc::new(Mutex::new(None));
        let at = Session {
            partition: Arc::clone(&partition),
            is_busy: Arc::clone(&is_busy),
            end: session.clone(),
        };
        let (start, high) = (stored.next_offset, facts.watermarks.high);
        self.shared.progress.began(&self.name, start, high, at);
        // The gathering thread sends only while nothing is in flight: a capacity of one is enough.
        let (sender, mut gathered) = mpsc::channel(1);
        let prefetch = Prefetch {
            partition: Arc::clone(&partition),
            name: self.name.clone(),
            shared: Arc::clone(&self.shared),
            topic: self.topic,
            stop: session.clone(),
            is_busy: Arc::clone(&is_busy),
            spare: Arc::clone(&spare),
        };
        let thread = tokio::task::spawn_blocking(move || prefetch.run(&facts, &stored, &sender));
        let mut told_kafka_at = Instant::now();
        let end = loop {
            match gathered.recv().await {
                None => break End::Stopped,
                Some(FromPrefetch::Started) => {
                    // A partition that stood still at this offset must move first.
                    if !self.shared.progress.is_stalled(&self.name, start) {
                        meter.health.up(component(&self.name));
                    }
                    self.shared.readiness.started(&self.name);
                    count::halted(&self.name, false);
                    // Only now the log is known to be the one that was charged from.
                    catch_up.take().map(|catch_up| tokio::spawn(catch_up.run()));
                }
                Some(FromPrefetch::Ended(end)) => break end,
                Some(FromPrefetch::Batch(batch)) => {
                    let next_offset = batch.next_offset;
                    match self.commit(batch, stream, &projector, &session).await {
                        Ok(Some(memory)) => {
                            *spare.lock().unwrap_or_else(PoisonError::into_inner) = Some(memory);
                        }
                        Ok(None) => {}
                        Err(end) => break end,
                    }
                    is_busy.store(false, Ordering::Release);
                    self.shared.progress.moved(&self.name, next_offset);
                    if told_kafka_at.elapsed().as_millis() >= 500 {
                        partition.commit_to_kafka(next_offset);
                        told_kafka_at = Instant::now();
                    }
                }
            }
        };
        session.cancel();
        drop(gathered);
        if thread.await.is_err() {
            tracing::error!(partition = %self.name, "the gathering thread panicked");
        }
        if let Some(next_offset) = self.shared.progress.position(&self.name) {
            partition.commit_to_kafka(next_offset);
        }
        if let Err(error) = partition.pause() {
            tracing::debug!(partition = %self.name, %error, "not paused");
        }
        self.shared.progress.gone(&self.name);
        // From here another process reports the lag.
        count::lag(&self.name, 0);
        Ok(match end {
            _ if self.stop.is_cancelled() => End::Stopped,
            // Only the session ended: an operator set the offset.
            End::Stopped => End::Restart,
            end => end,
        })
    }

    /// The task that applies the partition's status events, from the last offset noted as applied.
    /// Rents have no status events.
    fn catch_up(&self, stored: &StoredOffset, stop: CancellationToken) -> CatchUp {
        let applied_to = match self.topic {
            Topic::Calls => stored.signals_offset,
            Topic::Rentals => stored.next_offset,
        };
        CatchUp {
            shared: Arc::clone(&self.shared),
            name: self.name.clone(),
            topic: self.topic,
            stream: stored.stream.clone(),
            noted: stored.signals_offset,
            applied: Arc::new(StatusEventsOffset::between(applied_to, stored.next_offset)),
            stop,
        }
    }

    /// Facts from Kafka about the partition, read on a thread that may block.
    async fn ask_kafka(&self) -> Result<(Arc<Partition>, Facts), End> {
        let (consumer, name) = (Arc::clone(&self.consumer), self.name.clone());
        let asked = tokio::task::spawn_blocking(move || {
            let partition = Partition::open(&consumer, &name).ok_or_else(unknown_partition)?;
            let watermarks = partition.watermarks()?;
            let cluster_id = partition.cluster_id().ok_or_else(unknown_partition)?;
            let committed = partition.committed_offset()?;
            Ok((Arc::new(partition), Facts { watermarks, cluster_id, committed }))
        });
        match asked.await {
            Ok(asked) => asked.map_err(End::Kafka),
            Err(_) => Err(End::Restart),
        }
    }

    /// Commits a batch, however many attempts it takes; a record that Postgres refuses is kept as
    /// rejected. Returns memory for reuse.
    async fn commit(
        &self,
        batch: Batch,
        stream: &Stream,
        projector: &Projector,
        session: &CancellationToken,
    ) -> Result<Option<Memory>, End> {
        let meter = &self.shared.meter;
        let mut parts = VecDeque::from([batch]);
        let mut done = None;
        let mut wait = RETRY_WAIT;
        while let Some(mut batch) = parts.pop_front() {
            let error = match self.commit_once(&batch, stream, projector).await? {
                Ok(()) => {
                    wait = RETRY_WAIT;
                    done = batch.emptied();
                    continue;
                }
                Err(error) => error,
            };
            match error {
                CommitError::OffsetMoved { expected } => {
                    tracing::warn!(partition = %self.name, expected, "another consumer was first");
                    return Err(End::Restart);
                }
                CommitError::BytesNeeded { offsets } => {
                    if let Err(error) =
                        self.shared.read_rejected(&self.name, &mut batch, offsets).await
                    {
                        let reason = format!("kafka cannot be asked: {error}");
                        meter.health.down(component(&self.name), reason);
                        if sleep_or_stop(&mut wait, session).await {
                            return Err(End::Stopped);
                        }
                    }
                    parts.push_front(batch);
                }
                CommitError::Store(ref cause) if cause.is_of_the_values() => {
                    tracing::error!(
                        partition = %self.name,
                        records = batch.records.len(),
                        error = %chain(&error),
                        "postgres refused a batch; looking for the record"
                    );
                    if batch.records.len() > 1 {
                        let (first, second) = batch.split();
                        parts.push_front(second);
                        parts.push_front(first);
                        continue;
                    }
                    let Some(record) = batch.records.first_mut() else {
                        return Err(End::Ledger(error));
                    };
                    if matches!(record.event, Event::Rejected(_)) {
                        return Err(End::Ledger(error));
                    }
                    let detail = format!("the ledger refused it: {cause}");
                    record.event = Event::Rejected(Rejection::invalid(detail));
                    parts.push_front(batch);
                }
                error => {
                    tracing::debug!(partition = %self.name, error = %chain(&error), "batch waits");
                    self.report_ledger(&error);
                    if sleep_or_stop(&mut wait, session).await {
                        return Err(End::Stopped);
                    }
                    parts.push_front(batch);
                }
            }
        }
        Ok(done)
    }

    /// An outage is reported for Postgres; any other error for this partition.
    fn report_ledger(&self, error: &CommitError) {
        let health = &self.shared.meter.health;
        match error {
            CommitError::Store(StoreError::Unavailable(_)) => {
                health.down("postgres", "postgres cannot be reached");
            }
            error => health.down(component(&self.name), chain(error)),
        }
    }

    async fn commit_once(
        &self,
        batch: &Batch,
        stream: &Stream,
        projector: &Projector,
    ) -> Result<Result<(), CommitError>, End> {
        let meter = &self.shared.meter;
        let Ok(_permit) = self.shared.commits.acquire().await else { return Err(End::Stopped) };
        let keep_values = self.shared.reject_bytes_left.load(Ordering::Relaxed) > 0;
        let started = Instant::now();
        let now = meter.clock.now();
        let source = Source::Partition(stream);
        match meter.charger.commit_batch(source, batch, now, keep_values).await {
            Ok(mut committed) => {
                projector.committed(batch, &mut committed);
                meter.health.up("postgres");
                meter.health.up(component(&self.name));
                self.shared.take_reject_bytes(batch, &committed);
                let committed_at = meter.clock.now();
                let ends = committed.ended_at.iter();
                let lags = ends.map(|end| (committed_at - *end).to_std().unwrap_or_default());
                count::batch(&committed, started.elapsed(), lags);
                Ok(Ok(()))
            }
            Err(error) => Ok(Err(error)),
        }
    }
}

fn unknown_partition() -> KafkaError {
    KafkaError::MetadataFetch(rdkafka::error::RDKafkaErrorCode::UnknownPartition)
}

/// An error with its causes, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
