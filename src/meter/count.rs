//! The meter's Prometheus metrics.

use std::time::Duration;

use callmeter_core::domain::{Money, TransactionKind};

use crate::ingest::client::TopicPartition;
use crate::ledger::batch::{Committed, Outcome};
use crate::ledger::rejects::RejectTotal;
use crate::metrics::{self, add_dollars, show_dollars};

/// Counts a committed batch; `lags` are the times from each charged call's end to the commit.
pub(super) fn batch(committed: &Committed, took: Duration, lags: impl Iterator<Item = Duration>) {
    ::metrics::histogram!(metrics::BATCH_COMMIT_SECONDS).record(took);
    ::metrics::histogram!(metrics::BATCH_RECORDS).record(whole(committed.outcomes.len()));
    for outcome in Outcome::ALL {
        let records = committed.outcomes.iter().filter(|it| *it == outcome).count();
        ::metrics::counter!(metrics::EVENTS, "outcome" => outcome.as_str())
            .increment(u64::try_from(records).unwrap_or(u64::MAX));
    }
    add_dollars(metrics::CHARGED_DOLLARS, Some("call"), committed.call_amount);
    add_dollars(metrics::CHARGED_DOLLARS, Some("overage"), committed.overage_amount);
    add_dollars(metrics::CHARGED_DOLLARS, Some("number_rental"), committed.rental_amount);
    add_dollars(metrics::OVERSHOOT_DOLLARS, None, committed.overshoot);
    ::metrics::counter!(metrics::DURATION_DISAGREEMENTS).increment(committed.duration_mismatches);
    ::metrics::counter!(metrics::REJECTS_WITHOUT_BYTES).increment(committed.rejects_without_bytes);
    let lag_seconds = ::metrics::histogram!(metrics::EVENT_LAG_SECONDS);
    // Present from the start, so that its rate shows the first event.
    let late = ::metrics::counter!(metrics::EVENTS_LATE);
    for lag in lags {
        if lag <= metrics::EVENT_LAG_MAX {
            lag_seconds.record(lag);
        } else {
            late.increment(1);
        }
    }
}

/// Reports how many records of a partition wait.
pub(super) fn lag(name: &TopicPartition, records: i64) {
    let records = whole(usize::try_from(records).unwrap_or_default());
    ::metrics::gauge!(
        metrics::CONSUMER_LAG_RECORDS,
        "topic" => name.topic.clone(),
        "partition" => name.partition.to_string()
    )
    .set(records);
}

/// Reports how many charged records of a partition have status events that are not applied to
/// holds.
pub(super) fn signals_lag(name: &TopicPartition, records: i64) {
    let records = whole(usize::try_from(records).unwrap_or_default());
    ::metrics::gauge!(
        metrics::SIGNALS_LAG_RECORDS,
        "topic" => name.topic.clone(),
        "partition" => name.partition.to_string()
    )
    .set(records);
}

/// Reports whether a partition waits for an operator.
pub(super) fn halted(name: &TopicPartition, is_halted: bool) {
    ::metrics::gauge!(
        metrics::PARTITION_HALTED,
        "topic" => name.topic.clone(),
        "partition" => name.partition.to_string()
    )
    .set(if is_halted { 1.0 } else { 0.0 });
}

/// Reports what replays have debited; every kind from the start, so that the first amount is a
/// rise.
pub(super) fn replayed(amounts: &[(TransactionKind, Money)]) {
    for kind in [TransactionKind::Call, TransactionKind::Overage, TransactionKind::NumberRental] {
        let amount = amounts.iter().find(|it| it.0 == kind).map_or(Money::ZERO, |it| it.1);
        show_dollars(metrics::REPLAYED_DOLLARS, kind.as_str(), amount);
    }
}

/// Reports whether a partition makes no progress though records wait.
pub(super) fn stalled(name: &TopicPartition, is_stalled: bool) {
    ::metrics::gauge!(
        metrics::PARTITION_STALLED,
        "topic" => name.topic.clone(),
        "partition" => name.partition.to_string()
    )
    .set(if is_stalled { 1.0 } else { 0.0 });
}

/// Reports how many rejected records are open, by reason, and what all of them take on disk.
pub(super) fn rejects(totals: &[RejectTotal], bytes: i64) {
    for reason in ["undecodable", "invalid", "unknown_account", "conflict"] {
        let records = totals.iter().find(|it| it.reason == reason).map_or(0, |it| it.records);
        ::metrics::gauge!(metrics::REJECTED_RECORDS, "reason" => reason)
            .set(whole(usize::try_from(records).unwrap_or_default()));
    }
    let bytes = whole(usize::try_from(bytes).unwrap_or_default());
    ::metrics::gauge!(metrics::REJECTED_BYTES).set(bytes);
}

/// A count as a sample, capped at 2^32 - 1.
fn whole(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}
