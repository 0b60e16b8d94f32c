//! The journal's days: a partition for each day on which holds expire, created ahead and dropped
//! whole. Before one is dropped, its expired holds whose calls are not charged go to
//! `expired_holds`.

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};

use super::store as sql;
use crate::ledger::store::{Store, StoreError};

/// A partition is dropped this long after its day: by then its calls have no older row that could
/// count again.
const KEPT: TimeDelta = TimeDelta::days(2);
/// The days ahead that have a partition: no row written now expires later.
const DAYS_AHEAD: i32 = 3;
/// How far back the regular search for expired holds looks; older ones are found before their
/// partition is dropped.
const SEARCHED_BACK: TimeDelta = TimeDelta::hours(6);
/// Rows that one look for expired holds goes through.
const PAGE: i64 = 10_000;
const ALL: &str = "hold_changes";
/// Takes rows whose day has no partition.
const DEFAULT: &str = "hold_changes_default";

/// Notes recently expired holds whose calls are not charged in `expired_holds`, so that the sweep
/// looks them up at Twilio. Returns how many are new.
///
/// # Errors
/// If Postgres fails; rows noted until then stay.
pub async fn note_expired_holds(store: &Store, now: DateTime<Utc>) -> Result<i64, StoreError> {
    note_expired(store, ALL, (now - SEARCHED_BACK)..now, now).await
}

/// The same for one partition, and holds that expired in this time.
async fn note_expired(
    store: &Store,
    partition: &str,
    expired: std::ops::Range<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<i64, StoreError> {
    let mut after = (i32::MIN, expired.start, String::new());
    let mut noted = 0;
    loop {
        let (found, more) =
            sql::note_expired(store, partition, &expired, &after, PAGE, now).await?;
        noted += found;
        let Some(more) = more else { return Ok(noted) };
        after = more;
    }
}

/// Creates the partitions of the next days, and drops those of past days.
pub(crate) async fn keep(store: &Store, now: DateTime<Utc>) -> Result<(), StoreError> {
    sql::make_days(store, now, DAYS_AHEAD).await?;
    let oldest = now - KEPT;
    for name in sql::days(store).await? {
        let Some(day) = day_of(&name) else { continue };
        let next = day + TimeDelta::days(1);
        if next <= oldest {
            note_expired(store, &name, day..next, now).await?;
            sql::drop_day(store, &name).await?;
        }
    }
    note_expired(store, DEFAULT, DateTime::UNIX_EPOCH..oldest, now).await?;
    sql::forget(store, oldest).await?;
    Ok(())
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
        for other in [DEFAULT, ALL, "hold_changes_20261301", "charges_20261128"] {
            assert_eq!(day_of(other), None, "{other}");
        }
    }
}
