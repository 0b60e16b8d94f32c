//! A batch: the records that one transaction charges, with the bytes of some until it commits.
//!
//! The bytes of a decoded call are not kept: almost none is rejected, and without them a batch has
//! room for more records. For a call that is rejected after all they are read from Kafka again.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use super::decode::Event;
use super::permits::Permit;
use super::record::{Bytes, Memory, Record, Span};

/// What a decoded call takes in memory, about.
const CALL_BYTES: usize = 400;

/// Key and value of a record that was read again.
pub type KeyAndValue = (Option<Vec<u8>>, Option<Vec<u8>>);

/// Consecutive records of one partition.
#[derive(Debug)]
pub struct Batch {
    /// The offset that the ledger must hold for this batch to count.
    pub expected_offset: i64,
    /// Offset at which the partition continues after this batch.
    pub next_offset: i64,
    /// The records, by rising offset.
    pub records: Vec<Record>,
    bytes: Vec<u8>,
    /// Records without bytes here.
    decoded: usize,
    /// The permit of a large batch.
    permit: Option<Permit>,
}

impl Batch {
    /// An empty batch that starts at `expected_offset`.
    pub fn starting_at(expected_offset: i64) -> Self {
        Self::within(Memory::default(), expected_offset)
    }

    /// An empty batch that reuses the memory of another one.
    pub fn within(memory: Memory, expected_offset: i64) -> Self {
        let Memory { records, bytes } = memory;
        let next_offset = expected_offset;
        Self { expected_offset, next_offset, records, bytes, decoded: 0, permit: None }
    }

    /// Whether the batch has a permit to grow beyond a small one.
    pub const fn has_permit(&self) -> bool {
        self.permit.is_some()
    }

    /// Moves the batch into larger memory under a permit; returns the memory it leaves.
    pub fn grow(&mut self, permit: Permit, memory: Memory) -> Memory {
        let (mut records, mut bytes) = (memory.records, memory.bytes);
        records.append(&mut self.records);
        bytes.extend_from_slice(&self.bytes);
        self.bytes.clear();
        self.permit = Some(permit);
        let records = std::mem::replace(&mut self.records, records);
        Memory { records, bytes: std::mem::replace(&mut self.bytes, bytes) }
    }

    /// Ends the batch and returns its memory; a large batch passes its memory on with its permit.
    pub fn emptied(mut self) -> Option<Memory> {
        self.records.clear();
        self.bytes.clear();
        let memory = Memory { records: self.records, bytes: self.bytes };
        match self.permit {
            Some(permit) => {
                permit.leave(memory);
                None
            }
            None => Some(memory),
        }
    }

    /// Adds a record; its bytes are copied.
    pub fn push(
        &mut self,
        offset: i64,
        record_at: Option<DateTime<Utc>>,
        event: Event,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) {
        let key = key.map(|bytes| self.keep(bytes));
        let value = value.map(|bytes| self.keep(bytes));
        self.records.push(Record { offset, record_at, event, bytes: Bytes::Kept { key, value } });
        self.next_offset = offset + 1;
    }

    /// Adds a record whose bytes stay in Kafka.
    pub fn push_decoded(&mut self, offset: i64, record_at: Option<DateTime<Utc>>, event: Event) {
        self.records.push(Record { offset, record_at, event, bytes: Bytes::InKafka });
        self.decoded += 1;
        self.next_offset = offset + 1;
    }

    /// Adds the bytes of records that were read again; those of `offsets` that were not `found` are
    /// lost.
    pub fn attach(&mut self, offsets: &[i64], found: &HashMap<i64, KeyAndValue>) {
        for &offset in offsets {
            let place = self.records.binary_search_by_key(&offset, |record| record.offset);
            let bytes = found.get(&offset).map_or(Bytes::Lost, |(key, value)| Bytes::Kept {
                key: key.as_deref().map(|bytes| self.keep(bytes)),
                value: value.as_deref().map(|bytes| self.keep(bytes)),
            });
            if let Some(record) = place.ok().and_then(|place| self.records.get_mut(place)) {
                record.bytes = bytes;
            }
        }
    }

    fn keep(&mut self, bytes: &[u8]) -> Span {
        let span = Span {
            start: u32::try_from(self.bytes.len()).unwrap_or(u32::MAX),
            length: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
        };
        self.bytes.extend_from_slice(bytes);
        span
    }

    fn slice(&self, span: Span) -> &[u8] {
        let start = span.start as usize;
        self.bytes.get(start..start + span.length as usize).unwrap_or_default()
    }

    /// A record's key, unchanged; none too if its bytes are not here.
    pub fn key(&self, record: &Record) -> Option<&[u8]> {
        let Bytes::Kept { key, .. } = record.bytes else { return None };
        key.map(|span| self.slice(span))
    }

    /// A record's value, unchanged; none too if its bytes are not here.
    pub fn value(&self, record: &Record) -> Option<&[u8]> {
        let Bytes::Kept { value, .. } = record.bytes else { return None };
        value.map(|span| self.slice(span))
    }

    /// Bytes of the batch: of keys and values, and about those of decoded calls.
    pub fn bytes(&self) -> usize {
        self.bytes.len() + self.decoded * CALL_BYTES
    }

    /// Kafka timestamp of the last record.
    pub fn last_record_at(&self) -> Option<DateTime<Utc>> {
        self.records.last().and_then(|record| record.record_at)
    }

    /// Splits a batch of at least two records into two halves.
    pub fn split(&self) -> (Self, Self) {
        let middle = self.records.len() / 2;
        let boundary = self.records.get(middle).map_or(self.next_offset, |record| record.offset);
        let part = |records: &[Record], expected_offset, next_offset| Self {
            expected_offset,
            next_offset,
            records: records.to_vec(),
            bytes: self.bytes.clone(),
            decoded: records.len(),
            permit: None,
        };
        (
            part(&self.records[..middle], self.expected_offset, boundary),
            part(&self.records[middle..], boundary, self.next_offset),
        )
    }
}
