//! Runs beside a partition's worker: notes how far its status events are applied to holds, and
//! reads missed ones from Kafka again.
//!
//! Status events are missed while Redis is unreachable, when the queue of projections is full, and
//! when the process dies after a commit. Charging never waits for any of this.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use rdkafka::error::KafkaError;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{RETRY_WAIT, Shared, count, sleep_or_stop};
use crate::balance::{Fault, StatusEventsOffset};
use crate::ingest::batch::Batch;
use crate::ingest::client::TopicPartition;
use crate::ingest::decode::Topic;
use crate::ingest::gather::GatherSettings;
use crate::ingest::reread::{self, Range};
use crate::ledger::offsets::{self, Stream};

/// Most partitions of a process read again at the same time; bounds the memory.
pub(super) const AT_ONCE: usize = 2;
/// How often the applied offset is noted; after a crash this much is applied twice.
const NOTE_EVERY: Duration = Duration::from_secs(1);
/// Most records of a batch that is read again.
const RECORDS_MAX: usize = 1_000;
/// Records that Kafka appended earlier than the longest call plus this margin concern no call in
/// progress.
const MARGIN: TimeDelta = TimeDelta::hours(1);

/// Applies the status events of one partition during a worker's session.
pub(super) struct CatchUp {
    pub shared: Arc<Shared>,
    pub name: TopicPartition,
    pub topic: Topic,
    pub stream: Stream,
    /// The applied offset in Postgres.
    pub noted: i64,
    pub applied: Arc<StatusEventsOffset>,
    pub stop: CancellationToken,
}

/// Why the gap is not closed yet.
#[derive(Debug, thiserror::Error)]
enum NotYet {
    #[error("kafka cannot be asked")]
    Kafka(#[from] KafkaError),
    #[error(transparent)]
    Redis(#[from] Fault),
    #[error("not all status events could be applied")]
    Unapplied,
    #[error("the worker stops")]
    Stopped,
}

impl CatchUp {
    /// Runs until the session ends. Events that are applied but not noted by then are applied again
    /// by the partition's next worker.
    pub(super) async fn run(mut self) {
        let mut wait = RETRY_WAIT;
        count::signals_lag(&self.name, self.applied.behind());
        while !self.stop.is_cancelled() {
            if self.applied.behind() == 0 && self.applied.offset() == self.noted {
                // Nothing to note and nothing missed.
                let committed = self.applied.something_is_committed();
                self.stop.run_until_cancelled(committed).await;
            }
            if self.applied.gap().is_none() {
                wait = RETRY_WAIT;
                let missed = self.stop.run_until_cancelled(self.applied.something_is_missed());
                let _ = tokio::time::timeout(NOTE_EVERY, missed).await;
            } else if let Err(error) = self.close_gap().await {
                tracing::debug!(partition = %self.name, %error, "status events wait");
                count::signals_lag(&self.name, self.applied.behind());
                sleep_or_stop(&mut wait, &self.stop).await;
            }
            self.note().await;
        }
        // From here another process reports the lag.
        count::signals_lag(&self.name, 0);
    }

    /// Reads missed events again and applies them batch by batch.
    async fn close_gap(&mut self) -> Result<(), NotYet> {
        let shared = Arc::clone(&self.shared);
        let meter = &shared.meter;
        let permit = self.stop.run_until_cancelled(shared.catch_ups.acquire());
        let Some(Ok(_permit)) = permit.await else { return Err(NotYet::Stopped) };
        match meter.balance.redis().probe().await {
            Err(fault @ (Fault::Unreachable { .. } | Fault::Clustered)) => return Err(fault.into()),
            Ok(()) | Err(Fault::MayEvict { .. }) => {}
        }
        let Some(gap) = self.applied.gap() else { return Ok(()) };
        let records = gap.end - gap.start;
        // One batch is decoded while another is applied.
        let (sender, mut batches) = mpsc::channel(1);
        let reading = tokio::task::spawn_blocking(self.reading(gap.clone(), sender));
        let mut noted_at = Instant::now();
        while let Some(batch) = batches.recv().await {
            if self.stop.is_cancelled() {
                return Err(NotYet::Stopped);
            }
            if !meter.balance.apply_again(&batch).await {
                return Err(NotYet::Unapplied);
            }
            self.applied.read_again(batch.next_offset);
            count::signals_lag(&self.name, self.applied.behind());
            // Waits for the journal, which also bounds what is applied at once.
            if !meter.balance.is_journaled().await {
                return Err(NotYet::Unapplied);
            }
            if noted_at.elapsed() >= NOTE_EVERY {
                self.note().await;
                noted_at = Instant::now();
            }
        }
        if !reading.await.map_err(|_| NotYet::Stopped)?? {
            return Err(NotYet::Stopped);
        }
        self.applied.read_again(gap.end);
        tracing::info!(partition = %self.name, records, "status events were read again");
        Ok(())
    }

    /// Reads the gap on a thread that may block.
    fn reading(
        &self,
        gap: std::ops::Range<i64>,
        sender: mpsc::Sender<Batch>,
    ) -> impl FnOnce() -> Result<bool, KafkaError> + Send + 'static {
        let (shared, stop) = (Arc::clone(&self.shared), self.stop.clone());
        let (name, topic) = (self.name.clone(), self.topic);
        move || {
            let settings = &shared.meter.settings;
            let clock = &shared.meter.clock;
            let mut batch = settings.batch;
            batch.records_max = batch.records_max.min(RECORDS_MAX);
            let permits = &shared.permits;
            let (accepted, idle_after) = (settings.limits, Duration::MAX);
            let keeps_calls = false;
            let how = GatherSettings { topic, batch, permits, accepted, idle_after, keeps_calls };
            let longest = TimeDelta::seconds(settings.limits.call_seconds_max.into()) + MARGIN;
            let since = clock.now() - longest;
            let range = Range { name, from: gap.start, to: gap.end, since };
            reread::read(&settings.kafka, &range, how, &|| clock.now(), &mut |batch| {
                !stop.is_cancelled() && sender.blocking_send(batch).is_ok()
            })
        }
    }

    /// Notes the applied offset in Postgres, once the changes of those events are journaled.
    async fn note(&mut self) {
        let offset = self.applied.offset();
        count::signals_lag(&self.name, self.applied.behind());
        if offset == self.noted || !self.shared.meter.balance.is_journaled().await {
            return;
        }
        let store = self.shared.meter.charger.store();
        match offsets::note_signals(store, &self.stream, offset).await {
            Ok(()) => self.noted = offset,
            Err(error) => tracing::debug!(partition = %self.name, %error, "offset not noted"),
        }
    }
}
