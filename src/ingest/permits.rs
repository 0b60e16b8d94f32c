//! Permit for large batches: a process has so much of it, however many partitions it reads.
//!
//! Large batches are what makes a process fast when it is behind, and what takes its memory. So only
//! some partitions at a time have a large one; the others wait for their turn, for a second at most, and
//! then go on with a small one.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::record::Memory;

/// Bytes of keys and values up to which a batch needs no room.
pub const SMALL_BYTES: usize = 512 * 1024;

/// The room of a process; cheap to clone.
#[derive(Clone, Debug)]
pub struct Permits(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    free: Arc<Semaphore>,
    /// Memory of large batches that are done with.
    spare: Mutex<Vec<Memory>>,
}

/// Permit for one large batch, until it is dropped.
#[derive(Debug)]
pub struct Permit {
    rooms: Permits,
    _permit: OwnedSemaphorePermit,
}

impl Permits {
    /// Permit for `count` large batches.
    pub fn new(count: usize) -> Self {
        let free = Arc::new(Semaphore::new(count));
        Self(Arc::new(Inner { free, spare: Mutex::default() }))
    }

    /// Permit for one more, with the memory of one before it; none: there is no more room now.
    pub fn enter(&self) -> Option<(Permit, Memory)> {
        let permit = Arc::clone(&self.0.free).try_acquire_owned().ok()?;
        let spare = self.0.spare.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let room = Permit { rooms: self.clone(), _permit: permit };
        Some((room, spare.unwrap_or_default()))
    }
}

impl Permit {
    /// Leaves the room and the memory to the next one. There is never more memory than room.
    pub(super) fn leave(self, memory: Memory) {
        let mut spare = self.rooms.0.spare.lock().unwrap_or_else(PoisonError::into_inner);
        spare.push(memory);
    }
}
