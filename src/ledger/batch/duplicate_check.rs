//! Whether a batch's calls are looked up in the ledger before they are written.
//!
//! The primary key of `call_keys` refuses a call that is charged already, looked up or not. A look-up
//! only spares writing the batch twice, and of a large batch it costs a quarter of what writing costs. So
//! a large batch, as it comes when a process is behind, is written on trust: where it brings a duplicate
//! after all, it is written again, looked up, and so are the next ones.

use std::sync::atomic::{AtomicU32, Ordering};

use super::{Committed, Outcome, Source};
use crate::ingest::batch::Batch;

/// Records from which on a batch may be trusted: looking up fewer costs less than a disappointment.
const LARGE_RECORDS: usize = 2_000;
/// Large batches without a duplicate before one is trusted again.
const DOUBTS: u32 = 100;

#[derive(Debug, Default)]
pub(super) struct DuplicateCheck {
    /// How many more large batches are looked up.
    doubts: AtomicU32,
}

impl DuplicateCheck {
    /// Whether the ledger need not be asked about this batch.
    pub(super) fn covers(&self, source: Source<'_>, batch: &Batch) -> bool {
        matches!(source, Source::Partition(_))
            && batch.records.len() >= LARGE_RECORDS
            && self.doubts.load(Ordering::Relaxed) == 0
    }

    /// A batch that was trusted was refused: the next ones are looked up.
    pub(super) fn lose(&self) {
        self.doubts.store(DOUBTS, Ordering::Relaxed);
    }

    /// A batch that was looked up is committed.
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
