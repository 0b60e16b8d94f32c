//! Reads Kafka: a consumer group's partitions, their records gathered into batches and decoded into
//! events. First step of the flow.
//!
//! It never decides what is charged and never moves an offset on its own: the caller says where a
//! partition starts, and commits only what was gathered.

pub mod batch;
pub mod client;
pub mod decode;
mod fault;
pub mod gather;
pub mod idle;
pub mod incidents;
pub mod inspect;
pub mod partition;
pub mod permits;
pub mod producer;
pub mod publisher;
pub mod record;
pub mod reread;
pub mod topics;
