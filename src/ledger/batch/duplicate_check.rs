//! Decides whether the calls of a batch are looked up in the ledger before they are written.
//!
//! The primary key of `call_keys` refuses a call that is already charged, with or without a
//! look-up. A look-up only saves writing the batch twice; for a large batch it costs a quarter of
//! the write. Large batches come when a process is behind. They are written without a look-up. If
//! one contains a duplicate after all, it is written again with a look-up, and so are the next
//! ones.

use std::sync::atomic::{AtomicU32, Ordering};

use super::{Committed, Outcome, Source};
use crate::ingest::batch::Batch;

/// A smaller batch is always looked up: that costs less than writing it twice.
const LARGE_RECORDS: usize = 2_000;
/// Large batches in a row without a duplicate until they are written without a look-up again.
const DOUBTS: u32 = 100;

#[derive(Debug, Default)]
pub(super) struct DuplicateCheck {
    /// How many more large batches are looked up.
    doubts: AtomicU32,
}

impl DuplicateCheck {
    /// True if this batch is written without a look-up.
    pub(super) fn covers(&self, source: Source<'_>, batch: &Batch) -> bool {
        matches!(source, Source::Partition(_))
            && batch.records.len() >= LARGE_RECORDS
            && self.doubts.load(Ordering::Relaxed) == 0
    }

    /// A batch without a look-up was refused: the next ones are looked up.
    pub(super) fn lose(&self) {
        self.doubts.store(DOUBTS, Ordering::Relaxed);
    }

    /// A batch with a look-up is committed.
    pub(super) fn looked_up(&self, committed: &Committed) {
        if committed.outcomes.len() < LARGE_RECORDS {
            return;
        }
        let is_known =
            |outcome: &Outcome| matches!(outcome, Outcome::Duplicate | Outcome::Conflict);
        if committed.outcomes.iter().any(is_known) {
            self.lose();
        } else {
            let fewer = |doubts: u32| doubts.checked_sub(1);
            let _ = self.doubts.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fewer);
        }
    }
}
