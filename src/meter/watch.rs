//! Looks after Kafka and the rejected records every few seconds, for health and metrics.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaResult;
use rdkafka::{Offset, TopicPartitionList};
use tokio_util::sync::CancellationToken;

use super::{Shared, count};
use crate::ingest::client::{Consumer, TopicPartition};
use crate::ledger::rejects;

/// Between two looks; also how soon an outage is told.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Between two looks at the rejected records.
const REJECTS_EVERY: Duration = Duration::from_secs(5);

/// Asks Kafka for metadata and for the ends of our partitions: is it there, and how far behind are
/// we?
pub(super) async fn kafka(
    shared: Arc<Shared>,
    consumer: Arc<Consumer>,
    brokers_down: Arc<AtomicBool>,
    shutdown: CancellationToken,
) {
    loop {
        let positions = shared.positions();
        let (asked, down) = (Arc::clone(&consumer), Arc::clone(&brokers_down));
        let look = tokio::task::spawn_blocking(move || {
            down.store(false, Ordering::Relaxed);
            if positions.is_empty() {
                asked.client().fetch_metadata(None, LOOK_EVERY)?;
                return Ok(Vec::new());
            }
            lags(&asked, positions)
        });
        match look.await {
            Ok(Ok(lags)) => {
                shared.meter.health.up("kafka");
                for (name, lag) in lags {
                    count::lag(&name, lag);
                }
            }
            Ok(Err(error)) => {
                shared.meter.health.down("kafka", format!("kafka cannot be reached: {error}"));
            }
            Err(_) => return,
        }
        if tokio::time::timeout(LOOK_EVERY, shutdown.cancelled()).await.is_ok() {
            return;
        }
    }
}

/// How many records of each partition are not charged yet: one request for all of them.
fn lags(
    consumer: &Consumer,
    positions: Vec<(TopicPartition, i64)>,
) -> KafkaResult<Vec<(TopicPartition, i64)>> {
    let mut wanted = TopicPartitionList::with_capacity(positions.len());
    for (name, _) in &positions {
        // In place of an instant: the offset after the last record.
        wanted.add_partition_offset(&name.topic, name.partition, Offset::End)?;
    }
    let found = consumer.offsets_for_times(wanted, LOOK_EVERY)?;
    let mut lags = Vec::with_capacity(positions.len());
    for (name, next_offset) in positions {
        let Some(end) = found.find_partition(&name.topic, name.partition) else { continue };
        end.error()?;
        if let Offset::Offset(end) = end.offset() {
            lags.push((name, (end - next_offset).max(0)));
        }
    }
    Ok(lags)
}

/// Counts the rejected records, and decides whether further ones are kept with their bytes.
pub(super) async fn rejects(shared: Arc<Shared>, shutdown: CancellationToken) {
    let store = shared.meter.charger.store();
    let cap = shared.meter.settings.rejects_bytes_max;
    loop {
        if let (Ok(bytes), Ok(totals)) =
            (rejects::bytes_on_disk(store).await, rejects::totals(store).await)
        {
            let is_full = bytes >= cap;
            if is_full {
                tracing::error!(
                    bytes,
                    cap,
                    "rejected records reached their cap: values stay in kafka"
                );
            }
            shared.reject_room_bytes.store(cap.saturating_sub(bytes), Ordering::Relaxed);
            count::rejects(&totals, bytes);
        }
        if tokio::time::timeout(REJECTS_EVERY, shutdown.cancelled()).await.is_ok() {
            return;
        }
    }
}
