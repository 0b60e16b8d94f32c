//! One record of a batch, and the memory that batches pass on to each other.

use chrono::{DateTime, Utc};

use super::decode::Event;

/// One record: its coordinates, what it turned out to be, and where its bytes are.
#[derive(Clone, Debug)]
pub struct Record {
    /// Offset within the partition.
    pub offset: i64,
    /// Kafka timestamp, where the record has one.
    pub record_at: Option<DateTime<Utc>>,
    /// What it is.
    pub event: Event,
    pub(super) key: Option<Span>,
    pub(super) value: Option<Span>,
}

/// A range of the batch's bytes; 32 bits bound a batch to 4 GiB.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) start: u32,
    pub(super) length: u32,
}

/// What a batch was made of, emptied, so that another one may use it again.
#[derive(Debug, Default)]
pub struct Memory {
    pub(super) records: Vec<Record>,
    pub(super) bytes: Vec<u8>,
}
