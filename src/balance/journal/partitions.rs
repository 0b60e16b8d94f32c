//! The journal's partitions: one for each day on which holds expire, created ahead and dropped
//! whole. Before one is dropped, its expired holds whose calls are not charged go to
//! `expired_holds`.

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};

use super::store::{self, DEFAULT};
use crate::ledger::store::{Store, StoreError};

/// A partition is dropped this long after its day: by then its calls have no older row that could
/// count again.
const KEPT: TimeDelta = TimeDelta::days(2);
/// The days ahead that have a partition: no row written now expires later.
const DAYS_AHEAD: i32 = 3;

/// Creates the partitions of the next days, and drops those of past days.
pub(crate) async fn keep(store: &Store, now: DateTime<Utc>) -> Result<(), StoreError> {
    store::create_partitions(store, now, DAYS_AHEAD).await?;
    let oldest = now - KEPT;
    for name in store::partitions(store).await? {
        let Some(day) = day_of(&name) else { continue };
        let next = day + TimeDelta::days(1);
        if next <= oldest {
            store::note_expired(store, &name, day..next, now).await?;
            store::drop_partition(store, &name).await?;
        }
    }
    store::note_expired(store, DEFAULT, DateTime::UNIX_EPOCH..oldest, now).await?;
    store::empty_default(store, oldest).await
}

/// The beginning of the day with which a partition's name ends.
fn day_of(name: &str) -> Option<DateTime<Utc>> {
    let digits = name.strip_prefix("hold_changes_")?;
    Some(NaiveDate::parse_from_str(digits, "%Y%m%d").ok()?.and_time(NaiveTime::MIN).and_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_partition_of_a_day_is_ever_dropped() {
        let day = day_of("hold_changes_20261128").map(|day| day.to_rfc3339());
        assert_eq!(day.as_deref(), Some("2026-11-28T00:00:00+00:00"));
        for other in [DEFAULT, "hold_changes", "hold_changes_20261301", "charges_20261128"] {
            assert_eq!(day_of(other), None, "{other}");
        }
    }
}
