//! What may be changed about records that could not be charged.
//!
//! Beside the flow, as [`accounts`](crate::accounts): use cases that every door runs.

pub mod close;
