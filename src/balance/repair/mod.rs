//! Redis, the journal and the ledger held against each other, and what differs made good.
//!
//! It must never undo: what it writes is refused where a later change stands.

pub(crate) mod apply;
pub(crate) mod compare;
pub(crate) mod verify;
