//! What an operator may change about the intake: rejected records, offsets, the catalog.
//!
//! Beside the flow, as [`accounts`](crate::accounts): one file per use case, and every door runs the
//! same ones.

pub mod catalog_file;
pub mod close_reject;
pub mod replay_reject;
pub mod set_offset;
