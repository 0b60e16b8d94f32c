//! Stage 5 of the flow: tells others what the ledger's outbox holds.
//!
//! One process at a time, with the role `jobs`, gives events their order and publishes them to
//! Kafka. Each consumer has a name and a cursor of its own, so one that waits delays no other.
//!
//! It must never tell what is not committed, skip an event, or change an event's id.

mod relay;

pub use relay::{KAFKA, Relay};
