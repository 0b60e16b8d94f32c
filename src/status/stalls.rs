//! Partitions that make no progress though records wait: stalls that a process found, and
//! partitions that no process seems to have.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};

use super::{PartitionStatus, Problem};
use crate::ingest::client::TopicPartition;
use crate::ledger::offsets::StoredOffset;
use crate::ledger::stalls::Kept;

/// Facts about the records that wait.
pub(super) struct Waiting<'a> {
    /// Stalls that processes have found.
    pub kept: &'a [(TopicPartition, Kept)],
    /// Per partition the first offset whose record is young enough to wait.
    pub young_from: &'a HashMap<TopicPartition, i64>,
    /// The stored offsets, and the time of each.
    pub stored: &'a [StoredOffset],
    /// How long records may wait.
    pub patience: TimeDelta,
}

/// Lists each partition that makes no progress, with the command that helps.
pub(super) fn tell(
    partitions: &mut [PartitionStatus],
    waiting: &Waiting<'_>,
    now: DateTime<Utc>,
    problems: &mut Vec<Problem>,
) {
    for status in partitions.iter_mut().filter(|it| !it.halted && it.lag.is_none_or(|lag| lag > 0))
    {
        let name = TopicPartition { topic: status.topic.clone(), partition: status.partition };
        if let Some((_, kept)) = waiting.kept.iter().find(|(kept, _)| *kept == name) {
            status.stalled_since = Some(kept.since);
            problems.push(found(&name, kept));
        } else if let Some((since, problem)) = unattended(&name, status, waiting, now) {
            status.stalled_since = Some(since);
            problems.push(problem);
        }
    }
}

fn found(name: &TopicPartition, kept: &Kept) -> Problem {
    let TopicPartition { topic, partition } = name;
    let Kept { next_offset, since, cause } = kept;
    Problem {
        what: format!(
            "{topic} {partition} makes no progress at offset {next_offset} since {since}: {cause}"
        ),
        help: format!(
            "it goes on by itself once that is mended (docs/runbook.md, *A partition makes no \
             progress*); `callmeter offsets set --topic {topic} --partition {partition} --offset … \
             --reason …` goes on behind records that are lost, whose calls `callmeter sweep` finds"
        ),
    }
}

/// Records that have waited too long in a partition that no process reports on.
fn unattended(
    name: &TopicPartition,
    status: &PartitionStatus,
    waiting: &Waiting<'_>,
    now: DateTime<Utc>,
) -> Option<(DateTime<Utc>, Problem)> {
    let TopicPartition { topic, partition } = name;
    let of_this =
        |it: &&StoredOffset| (&it.stream.topic, it.stream.partition) == (topic, *partition);
    let moved_at = waiting.stored.iter().find(of_this).map(|stored| stored.moved_at);
    let next_offset = status.next_offset.or(status.low)?;
    let is_old = waiting.young_from.get(name).is_some_and(|young| *young > next_offset);
    let since = now - waiting.patience;
    if !is_old || moved_at.is_some_and(|at| at > since) {
        return None;
    }
    let lag = status.lag.unwrap_or_default();
    let seconds = waiting.patience.num_seconds();
    Some((
        moved_at.unwrap_or(since),
        Problem {
            what: format!(
                "{topic} {partition} makes no progress: {lag} records wait, the first at offset \
                 {next_offset} for more than {seconds} s, and no process says why"
            ),
            help: "`callmeter serve --role meter` charges them; is it running?".to_owned(),
        },
    ))
}
