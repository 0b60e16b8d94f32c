//! Decides where a partition starts: the ledger's offset, checked against Kafka.
//!
//! It never resets an offset. An offset that the log does not have, or a log other than the one the
//! offset was taken from, halts the partition until an operator decides.

use chrono::{DateTime, Utc};

use crate::ingest::partition::Watermarks;
use crate::ledger::offsets::StoredOffset;

/// Why a partition is halted. The text says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Halt {
    /// Kafka deleted records that were never charged.
    #[error(
        "records {stored} to {low} were deleted before they were charged; find their calls, then \
         `callmeter offsets set --topic {topic} --partition {partition} --offset {low} --reason …`"
    )]
    BeforeStart { topic: String, partition: i32, stored: i64, low: i64 },
    /// The log is shorter than the part that was charged.
    #[error(
        "offset {stored} lies beyond the log's end {high}: was the topic made anew? then \
         `callmeter offsets set --topic {topic} --partition {partition} --offset {low} --reason …`"
    )]
    BeyondEnd { topic: String, partition: i32, stored: i64, low: i64, high: i64 },
    /// The offset was taken from another cluster.
    #[error(
        "offset {stored} was taken from kafka cluster {expected}, and this is {found}: if it is the \
         same log, `callmeter offsets set --topic {topic} --partition {partition} --offset {stored} \
         --reason …`, else with the offset to start from"
    )]
    OtherCluster { topic: String, partition: i32, stored: i64, expected: String, found: String },
    /// The record before the offset is not the one that was charged.
    #[error(
        "the record before offset {stored} is of {found}, and the one that was charged of \
         {expected}: the topic was made anew; `callmeter offsets set --topic {topic} --partition \
         {partition} --offset 0 --reason …` starts it from its beginning"
    )]
    OtherLog { topic: String, partition: i32, stored: i64, expected: String, found: String },
}

/// Checks the stored offset against the cluster and the log's ends.
pub(crate) fn check(
    stored: &StoredOffset,
    watermarks: Watermarks,
    cluster_id: &str,
) -> Result<(), Halt> {
    let (topic, partition) = (stored.stream.topic.clone(), stored.stream.partition);
    let Watermarks { low, high } = watermarks;
    let offset = stored.next_offset;
    if stored.cluster_id != cluster_id {
        return Err(Halt::OtherCluster {
            topic,
            partition,
            stored: offset,
            expected: stored.cluster_id.clone(),
            found: cluster_id.to_owned(),
        });
    }
    if offset < low {
        return Err(Halt::BeforeStart { topic, partition, stored: offset, low });
    }
    if offset > high {
        return Err(Halt::BeyondEnd { topic, partition, stored: offset, low, high });
    }
    Ok(())
}

/// The offset of the record that was charged last; `None` if Kafka no longer has it or none was
/// charged.
pub(super) fn witness_offset(stored: &StoredOffset, watermarks: Watermarks) -> Option<i64> {
    stored.last_record_at?;
    let before = stored.next_offset - 1;
    (before >= watermarks.low && stored.next_offset <= watermarks.high).then_some(before)
}

/// Compares the record found at the witness offset with the one that was charged last. A record
/// behind that offset proves nothing: the one before may have been compacted away.
pub(super) fn check_witness(
    stored: &StoredOffset,
    offset: i64,
    record_at: Option<DateTime<Utc>>,
) -> Result<(), Halt> {
    if offset != stored.next_offset - 1 || record_at == stored.last_record_at {
        return Ok(());
    }
    let told = |instant: Option<DateTime<Utc>>| {
        instant.map_or_else(|| "no timestamp".to_owned(), |instant| instant.to_rfc3339())
    };
    Err(Halt::OtherLog {
        topic: stored.stream.topic.clone(),
        partition: stored.stream.partition,
        stored: stored.next_offset,
        expected: told(stored.last_record_at),
        found: told(record_at),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::offsets::Stream;

    fn stored(next_offset: i64, last_record_at: Option<i64>) -> StoredOffset {
        StoredOffset {
            stream: Stream { stream_key: 1, topic: "t".to_owned(), partition: 0 },
            next_offset,
            signals_offset: next_offset,
            cluster_id: "one".to_owned(),
            last_record_at: last_record_at.and_then(DateTime::from_timestamp_millis),
            moved_at: DateTime::UNIX_EPOCH,
        }
    }

    #[track_caller]
    fn check_range(offset: i64, low: i64, high: i64, expected: Option<&str>) {
        let found = check(&stored(offset, None), Watermarks { low, high }, "one");
        let found = found.err().map(|halt| format!("{halt:?}"));
        let name = found.as_deref().and_then(|text| text.split_once(' ')).map(|(name, _)| name);
        assert_eq!(name, expected, "{offset} in {low}..{high}");
    }

    #[test]
    fn an_offset_outside_the_log_halts() {
        check_range(5, 0, 10, None);
        check_range(0, 0, 0, None);
        check_range(10, 10, 10, None);
        check_range(9, 10, 20, Some("BeforeStart"));
        check_range(21, 10, 20, Some("BeyondEnd"));
    }

    #[test]
    fn another_cluster_halts() {
        let halt = check(&stored(5, None), Watermarks { low: 0, high: 10 }, "two").unwrap_err();
        assert!(matches!(halt, Halt::OtherCluster { .. }));
    }

    #[test]
    fn a_log_made_anew_is_told_by_the_record_before_the_offset() {
        let known = stored(5, Some(1_000));
        let at = DateTime::from_timestamp_millis;
        assert_eq!(witness_offset(&known, Watermarks { low: 0, high: 5 }), Some(4));
        assert_eq!(witness_offset(&known, Watermarks { low: 5, high: 5 }), None);
        assert_eq!(check_witness(&known, 4, at(1_000)), Ok(()));
        assert_eq!(check_witness(&known, 6, at(2_000)), Ok(()));
        assert!(matches!(check_witness(&known, 4, at(2_000)), Err(Halt::OtherLog { .. })));
    }
}
