//! One record of a batch, and memory that batches reuse.

use chrono::{DateTime, Utc};

use super::decode::Event;

/// One record: its coordinates, its decoded event, and the place of its bytes.
#[derive(Clone, Debug)]
pub struct Record {
    /// Offset within the partition.
    pub offset: i64,
    /// Kafka timestamp, if the record has one.
    pub record_at: Option<DateTime<Utc>>,
    /// The decoded event.
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

/// The emptied memory of a finished batch, for reuse.
#[derive(Debug, Default)]
pub struct Memory {
    pub(super) records: Vec<Record>,
    pub(super) bytes: Vec<u8>,
}
