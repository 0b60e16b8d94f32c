//! The days of a question: from one UTC day to another, both included.

use chrono::{DateTime, Days as DayCount, NaiveDate, NaiveTime, Utc};

/// Days where none are named.
pub const USUAL_DAYS: u64 = 30;
/// Most days of one question.
pub const DAYS_MAX: u64 = 400;

/// UTC days, at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Days {
    first: NaiveDate,
    last: NaiveDate,
}

/// Why two days make no question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotDays {
    /// The first is after the last.
    #[error("is after the last day, {last}")]
    FromAfterTo {
        /// The last day.
        last: NaiveDate,
    },
    /// They are too far apart.
    #[error("is more than {DAYS_MAX} days before the end of the last day, {last}")]
    TooMany {
        /// The last day.
        last: NaiveDate,
    },
}

impl Days {
    /// The days from `first` to `last`. A missing `last` is `today`; a missing `first` makes them
    /// [`USUAL_DAYS`].
    ///
    /// # Errors
    /// [`NotDays`]: the fault is that of the first day.
    pub fn new(
        first: Option<NaiveDate>,
        last: Option<NaiveDate>,
        today: NaiveDate,
    ) -> Result<Self, NotDays> {
        let last = last.unwrap_or(today);
        let first = first.unwrap_or_else(|| before(last, USUAL_DAYS - 1));
        if first > last {
            return Err(NotDays::FromAfterTo { last });
        }
        if first < before(last, DAYS_MAX - 1) {
            return Err(NotDays::TooMany { last });
        }
        Ok(Self { first, last })
    }

    /// The whole days before `today`, as many as given.
    pub fn full_before(today: NaiveDate, count: u64) -> Self {
        let last = before(today, 1);
        Self { first: before(today, count.max(1)), last }
    }

    /// The first day.
    pub const fn first(self) -> NaiveDate {
        self.first
    }

    /// The last day, included.
    pub const fn last(self) -> NaiveDate {
        self.last
    }

    /// The start of the first day.
    pub fn begins_at(self) -> DateTime<Utc> {
        self.first.and_time(NaiveTime::MIN).and_utc()
    }

    /// The end of the last day, excluded.
    pub fn ends_at(self) -> DateTime<Utc> {
        let next = self.last.checked_add_days(DayCount::new(1)).unwrap_or(self.last);
        next.and_time(NaiveTime::MIN).and_utc()
    }

    /// Every day, in order.
    pub fn iter(self) -> impl Iterator<Item = NaiveDate> {
        self.first.iter_days().take_while(move |day| *day <= self.last)
    }
}

fn before(day: NaiveDate, count: u64) -> NaiveDate {
    day.checked_sub_days(DayCount::new(count)).unwrap_or(NaiveDate::MIN)
}

#[cfg(test)]
mod tests {
    use super::{Days, NotDays};
    use chrono::NaiveDate;

    #[test]
    fn missing_days_are_the_last_thirty_and_more_than_400_are_refused() {
        let day = |text: &str| text.parse::<NaiveDate>().expect("a day");
        let today = day("2026-12-31");
        let days = |first: Option<&str>, last: Option<&str>| {
            Days::new(first.map(day), last.map(day), today)
        };
        let usual = days(None, None).expect("days");
        assert_eq!((usual.first(), usual.last()), (day("2026-12-02"), today));
        assert_eq!(usual.iter().count(), 30);
        let one = days(Some("2026-12-31"), None).expect("days");
        assert_eq!(
            (one.begins_at().to_rfc3339(), one.ends_at().to_rfc3339()),
            ("2026-12-31T00:00:00+00:00".to_owned(), "2027-01-01T00:00:00+00:00".to_owned())
        );
        assert_eq!(days(None, Some("2026-06-30")).expect("days").first(), day("2026-06-01"));
        assert_eq!(days(Some("2025-11-27"), None).expect("days").iter().count(), 400);
        let last = today;
        assert_eq!(days(Some("2025-11-26"), None), Err(NotDays::TooMany { last }));
        assert_eq!(days(Some("2027-01-01"), None), Err(NotDays::FromAfterTo { last }));
        let full = Days::full_before(today, 7);
        assert_eq!((full.first(), full.last()), (day("2026-12-24"), day("2026-12-30")));
    }
}
