//! Monthly cycles of a subscription.
//!
//! Place in the flow: rating finds the cycle of a call's start; that cycle's allowance pays,
//! however late the event comes.
//!
//! Cycles must never overlap or leave a gap: each time is in exactly one cycle of an anchor.

use chrono::{DateTime, Datelike, Months, Utc};

/// A half-open period: `start` is in it, `end` is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cycle {
    /// Start, inclusive.
    pub start: DateTime<Utc>,
    /// End, exclusive.
    pub end: DateTime<Utc>,
}

impl Cycle {
    /// True if a time is in the cycle.
    pub fn contains(&self, at: DateTime<Utc>) -> bool {
        self.start <= at && at < self.end
    }
}

/// Finds the monthly cycle that contains a time, for a subscription that started at `anchor`.
///
/// Cycles begin on the anchor's day and time of day. If a month lacks the day, the cycle begins on
/// its last day, and the next one on the anchor's day again: 31 January, 28 February, 31 March
/// (docs/charging.md, "What pays"). A time before the anchor is in no cycle of the subscription.
/// The result is then the cycle it would be in if the subscription had started whole months
/// earlier, so the function is total and cycles partition all time.
pub fn cycle_containing(anchor: DateTime<Utc>, at: DateTime<Utc>) -> Cycle {
    let months = month_number(at) - month_number(anchor);
    let begins_later = months_after(anchor, months) > at;
    let index = if begins_later { months - 1 } else { months };
    Cycle { start: months_after(anchor, index), end: months_after(anchor, index + 1) }
}

/// Counts months since the year 0.
fn month_number(at: DateTime<Utc>) -> i64 {
    i64::from(at.year()) * 12 + i64::from(at.month0())
}

/// Moves the anchor itself by whole months, so that a short month does not shift the later ones. At
/// the ends of the calendar (262,000 years away) it stops.
fn months_after(anchor: DateTime<Utc>, months: i64) -> DateTime<Utc> {
    let count = Months::new(u32::try_from(months.unsigned_abs()).unwrap_or(u32::MAX));
    if months < 0 {
        anchor.checked_sub_months(count).unwrap_or(DateTime::<Utc>::MIN_UTC)
    } else {
        anchor.checked_add_months(count).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }
}
