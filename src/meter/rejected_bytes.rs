//! The bytes of calls that are rejected after they were decoded: read from Kafka again.
//!
//! A call is rejected late if no account has its `AccountSid`, if it is charged already with another
//! length, or if Postgres refuses it. After such a batch the next ones keep the bytes of their
//! calls: a customer who is not known yet brings more than one.

use std::sync::atomic::Ordering;

use rdkafka::error::KafkaResult;

use super::Shared;
use crate::ingest::batch::Batch;
use crate::ingest::client::TopicPartition;
use crate::ingest::reread;

/// Batches that keep the bytes of their calls after one whose bytes had to be read again.
const BATCHES_KEPT: u32 = 100;

impl Shared {
    /// Whether the next batch keeps the bytes of its calls.
    pub(super) fn next_keeps_calls(&self) -> bool {
        let fewer = |left: u32| left.checked_sub(1);
        self.calls_kept.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fewer).is_ok()
    }

    /// Reads the bytes of these records into the batch; marks those that Kafka does not have any
    /// more.
    pub(super) async fn read_rejected(
        &self,
        name: &TopicPartition,
        batch: &mut Batch,
        offsets: Vec<i64>,
    ) -> KafkaResult<()> {
        self.calls_kept.store(BATCHES_KEPT, Ordering::Relaxed);
        let (kafka, of) = (self.meter.settings.kafka.clone(), name.clone());
        let read = tokio::task::spawn_blocking(move || {
            let found = reread::bytes(&kafka, &of, &offsets)?;
            KafkaResult::Ok((offsets, found))
        });
        let (offsets, found) = read.await.map_err(|_| reread::broke_off())??;
        if found.len() < offsets.len() {
            let lost = offsets.len() - found.len();
            tracing::warn!(partition = %name, lost, "rejected records are gone from kafka");
        }
        batch.attach(&offsets, &found);
        Ok(())
    }
}
