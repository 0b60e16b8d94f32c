//! One record of a batch, and memory that batches reuse.

use chrono::{DateTime, Utc};

use super::decode::Event;

/// One record: its coordinates, its decoded event, and where its bytes are.
#[derive(Clone, Debug)]
pub struct Record {
    /// Offset within the partition.
    pub offset: i64,
    /// Kafka timestamp, if the record has one.
    pub record_at: Option<DateTime<Utc>>,
    /// The decoded event.
    pub event: Event,
    pub(super) bytes: Bytes,
}

/// A record's bytes. Only a record that is rejected needs them.
#[derive(Clone, Copy, Debug)]
pub(super) enum Bytes {
    /// In the batch.
    Kept { key: Option<Span>, value: Option<Span> },
    /// Still in Kafka.
    InKafka,
    /// Kafka does not have them any more.
    Lost,
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

impl Record {
    /// Whether its bytes are still in Kafka only.
    pub const fn is_in_kafka(&self) -> bool {
        matches!(self.bytes, Bytes::InKafka)
    }

    /// Whether its bytes are nowhere any more.
    pub const fn is_lost(&self) -> bool {
        matches!(self.bytes, Bytes::Lost)
    }
}
