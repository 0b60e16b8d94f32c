//! Stage 1: Kafka → events. A consumer group's partitions, their records gathered into batches, and
//! the bytes decoded.
//!
//! It never decides what is charged, and never moves an offset on its own: whoever drives it says
//! where a partition starts, and hands on only what was gathered.

pub mod batch;
pub mod client;
pub mod decode;
mod fault;
pub mod gather;
pub mod incidents;
pub mod inspect;
pub mod partition;
pub mod permits;
pub mod producer;
pub mod publisher;
pub mod record;
pub mod reread;
pub mod topics;
