//! How far a run is: the publisher counts, the dialer and the terminal read.

use std::sync::atomic::{AtomicBool, AtomicU64};

/// What others may see of a run in progress.
#[derive(Debug, Default)]
pub struct Progress {
    /// Set to end the run: what is under way is still published.
    pub stop: AtomicBool,
    /// Calls started.
    pub calls: AtomicU64,
    /// Records published.
    pub records: AtomicU64,
}
