//! Compares Redis with journal and ledger, and repairs the differences.
//!
//! It must never undo a later change: scripts and the journal refuse an older one.

pub(crate) mod apply;
pub(crate) mod compare;
pub(crate) mod verify;
