//! Changes of rejected records.
//!
//! Beside the flow: use cases as in [`accounts`](crate::accounts).

pub mod close;
