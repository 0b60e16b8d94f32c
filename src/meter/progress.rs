//! How far each partition of this process is, and which of them make no progress though records
//! wait.
//!
//! The workers and the checks of Kafka write it. It makes no request and no decision.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::error::KafkaError;
use tokio_util::sync::CancellationToken;

use crate::ingest::client::TopicPartition;
use crate::ingest::partition::Partition;

/// The partitions of a process.
#[derive(Debug, Default)]
pub(super) struct Progress {
    places: Mutex<HashMap<TopicPartition, Place>>,
    /// Outlives sessions: the wait continues when a partition restarts at the same record.
    waits: Mutex<HashMap<TopicPartition, Wait>>,
    /// Why the last session of a partition could not fetch records; kept until it moves.
    faults: Mutex<HashMap<TopicPartition, String>>,
}

/// The place of a session.
pub(super) struct Session {
    pub partition: Arc<Partition>,
    /// Whether a batch of it is being committed.
    pub is_busy: Arc<AtomicBool>,
    /// Ends it.
    pub end: CancellationToken,
}

#[derive(Debug)]
struct Place {
    next_offset: i64,
    session: Session,
    end_of_log: EndOfLog,
}

/// End of the log at the last check.
#[derive(Debug)]
enum EndOfLog {
    At(i64),
    /// Kafka cannot say.
    Hidden(String),
}

/// Records wait, and the partition does not move.
#[derive(Clone, Debug)]
struct Wait {
    next_offset: i64,
    since: Instant,
    cause: Option<String>,
    is_stall: bool,
}

/// A partition that makes no progress though records wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stall {
    pub name: TopicPartition,
    /// The record at which it stands.
    pub next_offset: i64,
    /// How long it has stood there.
    pub lasts: Duration,
    /// The cause, if known.
    pub cause: Option<String>,
}

/// Result of a check of all partitions.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub stalls: Vec<Stall>,
    /// Partitions that stood still at the previous check and no longer do.
    pub over: Vec<TopicPartition>,
    /// Partitions that do not move though records wait, after any time, with their offsets.
    pub waiting: HashMap<TopicPartition, i64>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Session").finish_non_exhaustive()
    }
}

impl Progress {
    /// A session starts at this offset of a log that ends at `high`.
    pub(super) fn began(
        &self,
        name: &TopicPartition,
        next_offset: i64,
        high: i64,
        session: Session,
    ) {
        let end_of_log = EndOfLog::At(high);
        self.lock().insert(name.clone(), Place { next_offset, session, end_of_log });
    }

    pub(super) fn moved(&self, name: &TopicPartition, next_offset: i64) {
        self.lock_faults().remove(name);
        if let Some(place) = self.lock().get_mut(name) {
            place.next_offset = next_offset;
        }
    }

    /// A session ended because records cannot be fetched. The cause outlives it: the next session
    /// starts at once and may not have reached those records when it is checked.
    pub(super) fn failed(&self, name: &TopicPartition, error: &KafkaError) {
        self.lock_faults().insert(name.clone(), error.to_string());
    }

    pub(super) fn gone(&self, name: &TopicPartition) {
        self.lock().remove(name);
    }

    pub(super) fn position(&self, name: &TopicPartition) -> Option<i64> {
        self.lock().get(name).map(|place| place.next_offset)
    }

    pub(super) fn positions(&self) -> Vec<(TopicPartition, i64)> {
        self.lock().iter().map(|(name, place)| (name.clone(), place.next_offset)).collect()
    }

    /// Notes the end of a partition's log, or why Kafka cannot give it; returns how many records
    /// wait.
    pub(super) fn looked(&self, name: &TopicPartition, end: Result<i64, String>) -> Option<i64> {
        let mut places = self.lock();
        let place = places.get_mut(name)?;
        place.end_of_log = end.map_or_else(EndOfLog::Hidden, EndOfLog::At);
        place.lag()
    }

    /// Ends a partition's session; the next one reads again where it starts.
    pub(super) fn restart(&self, name: &TopicPartition) {
        if let Some(place) = self.lock().get(name) {
            place.session.end.cancel();
        }
    }

    /// Whether the last check found the partition stalled at this offset.
    pub(super) fn is_stalled(&self, name: &TopicPartition, next_offset: i64) -> bool {
        let waits = self.lock_waits();
        waits.get(name).is_some_and(|wait| wait.is_stall && wait.next_offset == next_offset)
    }

    /// Finds partitions that have waited for longer than `patience`.
    pub(super) fn look(&self, patience: Duration) -> Found {
        let (places, mut waits) = (self.lock(), self.lock_waits());
        let mut found = Found::default();
        for (name, place) in places.iter() {
            let fault = place.session.partition.fault();
            let before = waits.remove(name);
            let was_stall = before.as_ref().is_some_and(|wait| wait.is_stall);
            if fault.is_none() && !place.may_have_records() {
                found.over.extend(was_stall.then(|| name.clone()));
                continue;
            }
            let since = fault.as_ref().map_or_else(Instant::now, |fault| fault.since);
            let next_offset = place.next_offset;
            let fresh = || Wait { next_offset, since, cause: None, is_stall: false };
            let same = before.filter(|wait| wait.next_offset == next_offset);
            let mut wait = same.unwrap_or_else(fresh);
            let failed = fault.map(|it| it.error.to_string());
            let failed = failed.or_else(|| self.lock_faults().get(name).cloned());
            let failed = failed.map(|error| format!("its records cannot be fetched: {error}"));
            wait.cause = failed.or_else(|| place.cause()).or(wait.cause);
            wait.is_stall = wait.since.elapsed() >= patience && place.may_have_records();
            if wait.is_stall {
                let (lasts, cause) = (wait.since.elapsed(), wait.cause.clone());
                found.stalls.push(Stall { name: name.clone(), next_offset, lasts, cause });
            } else if was_stall {
                found.over.push(name.clone());
            }
            found.waiting.insert(name.clone(), next_offset);
            waits.insert(name.clone(), wait);
        }
        found
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TopicPartition, Place>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_faults(&self) -> MutexGuard<'_, HashMap<TopicPartition, String>> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_waits(&self) -> MutexGuard<'_, HashMap<TopicPartition, Wait>> {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    fn lag(&self) -> Option<i64> {
        match self.end_of_log {
            EndOfLog::At(end) => Some((end - self.next_offset).max(0)),
            EndOfLog::Hidden(_) => None,
        }
    }

    fn may_have_records(&self) -> bool {
        matches!(self.end_of_log, EndOfLog::Hidden(_)) || self.lag().is_some_and(|lag| lag > 0)
    }

    /// The cause if no fetch failed.
    fn cause(&self) -> Option<String> {
        match &self.end_of_log {
            EndOfLog::Hidden(error) => Some(format!("kafka cannot tell where it ends: {error}")),
            EndOfLog::At(_) if self.session.is_busy.load(Ordering::Acquire) => {
                Some("a batch of it is not committed yet".to_owned())
            }
            EndOfLog::At(_) => None,
        }
    }
}
