//! Checks Kafka and the rejected records every few seconds, for health and metrics.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaResult;
use rdkafka::{Offset, TopicPartitionList};
use tokio_util::sync::CancellationToken;

use super::{Shared, count};
use crate::clock::beat;
use crate::ingest::client::{Consumer, TopicPartition};
use crate::ledger::rejects;

/// Time between two checks; also how soon an outage is reported.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Time between two checks of the rejected records.
const REJECTS_EVERY: Duration = Duration::from_secs(5);

/// Reads metadata and our partitions' ends from Kafka: whether it is reachable, and the lag.
pub(super) async fn kafka(
    shared: Arc<Shared>,
    consumer: Arc<Consumer>,
    brokers_down: Arc<AtomicBool>,
    shutdown: CancellationToken,
) {
    loop {
        let positions = shared.progress.positions();
        let (asked, down) = (Arc::clone(&consumer), Arc::clone(&brokers_down));
        let look = tokio::task::spawn_blocking(move || {
            down.store(false, Ordering::Relaxed);
            if positions.is_empty() {
                asked.client().fetch_metadata(None, LOOK_EVERY)?;
                return Ok(Vec::new());
            }
            ends(&asked, positions)
        });
        match look.await {
            Ok(Ok(ends)) => {
                shared.meter.health.up("kafka");
                for (name, end) in ends {
                    if let Some(lag) = shared.progress.looked(&name, end) {
                        count::lag(&name, lag);
                        if lag > 0 {
                            shared.idle.found(&name);
                        }
                    }
                }
            }
            Ok(Err(error)) => {
                shared.meter.health.down("kafka", format!("kafka cannot be reached: {error}"));
            }
            Err(_) => return,
        }
        if shutdown.run_until_cancelled(beat(LOOK_EVERY)).await.is_none() {
            return;
        }
    }
}

/// The end of each partition, in one request for all. One partition without a leader is no outage
/// of Kafka.
fn ends(
    consumer: &Consumer,
    positions: Vec<(TopicPartition, i64)>,
) -> KafkaResult<Vec<(TopicPartition, Result<i64, String>)>> {
    let mut wanted = TopicPartitionList::with_capacity(positions.len());
    for (name, _) in &positions {
        // Instead of a time: asks for the offset after the last record.
        wanted.add_partition_offset(&name.topic, name.partition, Offset::End)?;
    }
    let found = consumer.offsets_for_times(wanted, LOOK_EVERY)?;
    let mut ends = Vec::with_capacity(positions.len());
    for (name, _) in positions {
        let Some(end) = found.find_partition(&name.topic, name.partition) else { continue };
        match (end.error(), end.offset()) {
            (Err(error), _) => ends.push((name, Err(error.to_string()))),
            (Ok(()), Offset::Offset(end)) => ends.push((name, Ok(end))),
            (Ok(()), _) => {}
        }
    }
    Ok(ends)
}

/// Counts the rejected records and what replays debited, and decides whether further records are
/// kept with their bytes.
pub(super) async fn rejects(shared: Arc<Shared>, shutdown: CancellationToken) {
    let store = shared.meter.charger.store();
    let cap = shared.meter.settings.rejects_bytes_max;
    let mut was_full = false;
    loop {
        if let (Ok(bytes), Ok(totals)) =
            (rejects::bytes_on_disk(store).await, rejects::totals(store).await)
        {
            let is_full = bytes >= cap;
            if is_full && !was_full {
                tracing::error!(
                    bytes,
                    cap,
                    "rejected records reached their cap: values stay in kafka"
                );
            }
            was_full = is_full;
            shared.reject_bytes_left.store(cap.saturating_sub(bytes), Ordering::Relaxed);
            count::rejects(&totals, bytes);
        }
        if let Ok(amounts) = rejects::replayed_amounts(store).await {
            count::replayed(&amounts);
        }
        if shutdown.run_until_cancelled(beat(REJECTS_EVERY)).await.is_none() {
            return;
        }
    }
}
