//! Progress of a run: the publisher counts, the dialer and the terminal read.

use std::sync::atomic::{AtomicBool, AtomicU64};

/// The shared state of a run in progress.
#[derive(Debug, Default)]
pub struct Progress {
    /// Set to end the run; events that wait are still published.
    pub stop: AtomicBool,
    /// Calls started.
    pub calls: AtomicU64,
    /// Records published.
    pub records: AtomicU64,
}
