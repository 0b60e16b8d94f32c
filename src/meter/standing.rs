//! Checks this process's partitions every second: reports those that make no progress though
//! records wait, and restarts those whose offset an operator set.
//!
//! It runs beside the charging and must not slow it: one small statement for all partitions.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use tokio_util::sync::CancellationToken;

use super::progress::{Found, Stall};
use super::{Shared, count, partition};
use crate::clock::beat;
use crate::ingest::client::TopicPartition;
use crate::ledger::stalls::{self, Kept, StoredPlace};
use crate::ledger::store::StoreError;

/// Time between two checks; with a session's start it stays below the 2 s that `offsets set`
/// promises.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Time to the next check if an offset is unexpected: a batch may just have moved it.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// First words of the reason of a partition that makes no progress.
const STANDS_STILL: &str = "makes no progress";

/// Partitions whose position differs from the ledger's: (position, ledger's offset).
type Moved = HashMap<TopicPartition, (i64, i64)>;

/// Checks until `shutdown`.
pub(super) async fn look(shared: Arc<Shared>, shutdown: CancellationToken) {
    let mut moved = Moved::new();
    loop {
        let found = shared.progress.look(shared.meter.settings.stall_max);
        tell(&shared, &found);
        let asked = compare_with_ledger(&shared, &found, &moved);
        moved = match tokio::time::timeout(LOOK_EVERY, asked).await {
            Ok(Ok(moved)) => moved,
            Ok(Err(error)) => {
                tracing::debug!(%error, "the stored offsets cannot be read");
                Moved::new()
            }
            Err(_) => Moved::new(),
        };
        let wait = if moved.is_empty() { LOOK_EVERY } else { LOOK_AGAIN };
        if shutdown.run_until_cancelled(beat(wait)).await.is_none() {
            return;
        }
    }
}

/// Reports stalled partitions, and those that move again, to `/readyz` and the metrics.
fn tell(shared: &Shared, found: &Found) {
    let health = &shared.meter.health;
    for stall in &found.stalls {
        count::stalled(&stall.name, true);
        let component = partition::component(&stall.name);
        // The worker's own reason says more.
        if health.reason(&component).is_none_or(|it| it.starts_with(STANDS_STILL)) {
            let cause = stall.cause.as_deref().unwrap_or("kafka brings none, and tells no error");
            let offset = stall.next_offset;
            health.down(component, format!("{STANDS_STILL} at offset {offset}: {cause}"));
        }
    }
    for name in &found.over {
        count::stalled(name, false);
        let component = partition::component(name);
        if health.reason(&component).is_some_and(|it| it.starts_with(STANDS_STILL)) {
            health.up(component);
        }
    }
}

/// Reads the ledger's offsets of our partitions. A partition whose offset differs at two checks
/// restarts there: an operator set it. Stalls are stored for `callmeter status`.
async fn compare_with_ledger(
    shared: &Shared,
    found: &Found,
    before: &Moved,
) -> Result<Moved, StoreError> {
    let mut moved = Moved::new();
    let positions = shared.progress.positions();
    if positions.is_empty() {
        return Ok(moved);
    }
    let (store, settings) = (shared.meter.charger.store(), &shared.meter.settings);
    let topics = [settings.topic_calls.as_str(), settings.topic_rentals.as_str()];
    let mut stored: HashMap<TopicPartition, StoredPlace> =
        stalls::places(store, &topics).await?.into_iter().collect();
    for (name, position) in positions {
        let Some(place) = stored.remove(&name) else { continue };
        let is_there = shared.progress.position(&name) == Some(position);
        if is_there && place.next_offset != position {
            let seen = (position, place.next_offset);
            if before.get(&name) == Some(&seen) {
                let offset = place.next_offset;
                tracing::info!(partition = %name, offset, "the offset was set: restarting there");
                shared.progress.restart(&name);
            } else {
                moved.insert(name.clone(), seen);
            }
        }
        keep(shared, found, &name, &place).await?;
    }
    Ok(moved)
}

/// Stores a partition's stall, or deletes a stored one that is over; writes only changes.
async fn keep(
    shared: &Shared,
    found: &Found,
    name: &TopicPartition,
    place: &StoredPlace,
) -> Result<(), StoreError> {
    let store = shared.meter.charger.store();
    let stall = found.stalls.iter().find(|stall| stall.name == *name);
    match (stall, &place.kept) {
        (Some(stall), kept) => {
            let wanted = kept_of(shared, stall);
            let is_kept = kept.as_ref().is_some_and(|kept| {
                kept.next_offset == wanted.next_offset && kept.cause == wanted.cause
            });
            if is_kept { Ok(()) } else { stalls::keep(store, name, &wanted).await }
        }
        // It may be the same stall, found before this process had the partition.
        (None, Some(kept)) => {
            let may_last = found.waiting.get(name) == Some(&kept.next_offset);
            if may_last { Ok(()) } else { stalls::forget(store, name).await }
        }
        (None, None) => Ok(()),
    }
}

fn kept_of(shared: &Shared, stall: &Stall) -> Kept {
    let meter = &shared.meter;
    let said = meter.health.reason(&partition::component(&stall.name));
    let said = said.filter(|it| !it.starts_with(STANDS_STILL));
    let unknown = || "Kafka brings no record, and tells no error".to_owned();
    let lasts = TimeDelta::from_std(stall.lasts).unwrap_or_default();
    Kept {
        next_offset: stall.next_offset,
        since: meter.clock.now() - lasts,
        cause: said.or_else(|| stall.cause.clone()).unwrap_or_else(unknown),
    }
}
