//! Reads `--from` and `--to`.

use chrono::{DateTime, Days, NaiveDate, NaiveTime, SubsecRound, TimeDelta, Utc};

use super::CommandError;
use crate::reconcile::DayRange;
use crate::sweep::Period;

/// One end of a period as given: a time, or a whole UTC day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limit {
    Instant(DateTime<Utc>),
    Day(NaiveDate),
}

/// Reads a time (RFC 3339) or a UTC day.
pub(super) fn limit(text: &str) -> Result<Limit, String> {
    if let Ok(day) = text.parse::<NaiveDate>() {
        return Ok(Limit::Day(day));
    }
    let instant = DateTime::parse_from_rfc3339(text).map_err(
        |_| "is neither a day such as 2026-12-01 nor a time such as 2026-12-01T00:00:00Z",
    )?;
    Ok(Limit::Instant(instant.with_timezone(&Utc).trunc_subsecs(6)))
}

impl Limit {
    /// As the start of a period: the start of the day.
    pub(super) fn begins(self) -> DateTime<Utc> {
        match self {
            Self::Instant(instant) => instant,
            Self::Day(day) => day.and_time(NaiveTime::MIN).and_utc(),
        }
    }

    /// As the end of a period, which is excluded: the end of the day, or the time itself.
    pub(super) fn ends(self) -> DateTime<Utc> {
        match self {
            Self::Instant(instant) => instant,
            Self::Day(day) => {
                let next = day.checked_add_days(Days::new(1)).unwrap_or(day);
                next.and_time(NaiveTime::MIN).and_utc()
            }
        }
    }
}

/// The period between both ends.
pub(super) fn period(from: DateTime<Utc>, to: DateTime<Utc>) -> Result<Period, CommandError> {
    if from < to {
        return Ok(Period { from, to });
    }
    Err(CommandError::Usage(format!("--to ({to}) is not after --from ({from})")))
}

/// The days between both ends, included; where one is missing, the usual one.
pub(super) fn days(
    from: Option<Limit>,
    to: Option<Limit>,
    usual: DayRange,
) -> Result<DayRange, CommandError> {
    let from = from.unwrap_or(Limit::Day(usual.first)).begins();
    let period = period(from, to.unwrap_or(Limit::Day(usual.last)).ends())?;
    let last = (period.to - TimeDelta::microseconds(1)).date_naive();
    Ok(DayRange { first: period.from.date_naive(), last })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_belongs_to_the_period_whole() {
        let day = limit("2026-12-31").expect("a day");
        assert_eq!(day.begins().to_rfc3339(), "2026-12-31T00:00:00+00:00");
        assert_eq!(day.ends().to_rfc3339(), "2027-01-01T00:00:00+00:00");
        let instant = limit("2026-12-31T01:00:00+01:00").expect("an instant");
        assert_eq!((instant.begins(), instant.ends()), (day.begins(), day.begins()));
        assert!(period(instant.begins(), day.begins()).is_err(), "empty");
        for text in ["", "2026-13-01", "yesterday", "2026-12-31T00:00:00", "1790000000"] {
            assert!(limit(text).is_err(), "{text}");
        }
    }
}
