//! Why a partition's next records cannot be fetched, and whether the client went past them.
//!
//! Place in the flow: gathering notes the client's errors; the meter reads them for readiness.
//!
//! It must never forget records that the client skipped: a call in them would go uncharged.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// Why the partition's next records could not be fetched.
#[derive(Clone, Debug)]
pub struct Fault {
    /// The client's last error.
    pub error: KafkaError,
    /// Time of the first error since the last record that was fetched.
    pub since: Instant,
    /// Whether the client has already gone past those records.
    is_behind: bool,
}

/// The fault of one partition, if it has one.
#[derive(Debug, Default)]
pub(super) struct Faults(Mutex<Option<Fault>>);

impl Faults {
    /// The fault; none if nothing failed since the last record.
    pub(super) fn now(&self) -> Option<Fault> {
        self.lock().clone()
    }

    /// Notes that a record was fetched and none is missing before it.
    pub(super) fn clear(&self) {
        *self.lock() = None;
    }

    /// Notes an error of the client.
    pub(super) fn failed(&self, error: KafkaError) {
        let is_behind = is_stepped_over(&error);
        let mut fault = self.lock();
        let since = fault.as_ref().map_or_else(Instant::now, |fault| fault.since);
        let is_behind = is_behind || fault.as_ref().is_some_and(|fault| fault.is_behind);
        *fault = Some(Fault { error, since, is_behind });
    }

    /// Notes that a record was fetched, behind a gap or not. True if it lies behind records that
    /// could not be fetched: a call in them must not go uncharged.
    pub(super) fn is_behind(&self, is_gap: bool) -> bool {
        let mut fault = self.lock();
        match &mut *fault {
            Some(fault) if is_gap => fault.is_behind = true,
            fault => *fault = None,
        }
        fault.is_some()
    }

    /// Why the client could not read records that it has gone past.
    pub(super) fn unreadable(&self) -> Option<KafkaError> {
        self.lock().as_ref().filter(|fault| fault.is_behind).map(|fault| fault.error.clone())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Fault>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the client skips what it could not read: a damaged record or an unknown format.
fn is_stepped_over(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(RDKafkaErrorCode::BadMessage | RDKafkaErrorCode::NotImplemented)
    )
}

/// Whether the record can never be read.
pub(super) fn is_damage(error: &KafkaError) -> bool {
    is_stepped_over(error) || error.rdkafka_error_code() == Some(RDKafkaErrorCode::BadCompression)
}
