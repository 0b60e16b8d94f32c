//! Permits for large batches: a process has a fixed number, however many partitions it reads.
//!
//! Large batches make a process fast when it is behind, and take most of its memory. So only some
//! partitions at a time have one; the others wait up to a second for a permit, then continue with a
//! small batch.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::record::Memory;

/// Bytes of keys and values up to which a batch needs no permit.
pub const SMALL_BYTES: usize = 512 * 1024;

/// The permits of a process; cheap to clone.
#[derive(Clone, Debug)]
pub struct Permits(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    free: Arc<Semaphore>,
    /// Memory left by finished large batches.
    spare: Mutex<Vec<Memory>>,
}

/// The right to one large batch, until it is dropped.
#[derive(Debug)]
pub struct Permit {
    permits: Permits,
    _permit: OwnedSemaphorePermit,
}

impl Permits {
    /// Creates `count` permits.
    pub fn new(count: usize) -> Self {
        let free = Arc::new(Semaphore::new(count));
        Self(Arc::new(Inner { free, spare: Mutex::default() }))
    }

    /// Takes a permit, with the memory of an earlier batch; none if no permit is free.
    pub fn enter(&self) -> Option<(Permit, Memory)> {
        let permit = Arc::clone(&self.0.free).try_acquire_owned().ok()?;
        let spare = self.0.spare.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let permit = Permit { permits: self.clone(), _permit: permit };
        Some((permit, spare.unwrap_or_default()))
    }
}

impl Permit {
    /// Returns the permit and leaves the memory to the next batch. There is never more memory than
    /// permits.
    pub(super) fn leave(self, memory: Memory) {
        let mut spare = self.permits.0.spare.lock().unwrap_or_else(PoisonError::into_inner);
        spare.push(memory);
    }
}
