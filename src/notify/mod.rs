//! Stage 5 of the flow: tells others what the ledger's outbox holds.
//!
//! One process at a time, with the role `jobs`, gives events their order, publishes them to Kafka,
//! and posts and mails them to customers. Each consumer has a name and a cursor of its own, so one that waits delays no other.
//!
//! It must never tell what is not committed, skip an event, or change an event's id.

pub mod mail;
mod relay;
pub mod webhooks;

use std::time::Duration;

/// Time between two attempts to become the process that tells, or after a failure.
const RETRY_EVERY: Duration = Duration::from_secs(2);

pub use relay::{KAFKA, Relay, RelayStartError};
