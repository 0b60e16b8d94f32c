//! Times as the page writes them: in UTC, and marked so that the page's script can write the local
//! time before it.

use chrono::{DateTime, SecondsFormat, Utc};

/// An instant in a page.
#[derive(Clone, Debug)]
pub(super) struct Time {
    at: DateTime<Utc>,
    form: Form,
}

/// What is written of an instant; the script knows the same words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// `24 Nov, 16:12`
    Minute,
    /// `24 Nov, 16:12:40`
    Second,
    /// `16:12:40`
    Clock,
    /// `24 Nov 2026, 16:12`
    Date,
}

impl Time {
    /// Day and minute.
    pub(super) fn minute(at: DateTime<Utc>) -> Self {
        Self { at, form: Form::Minute }
    }

    /// Day and second.
    pub(super) fn second(at: DateTime<Utc>) -> Self {
        Self { at, form: Form::Second }
    }

    /// Only the time of day.
    pub(super) fn clock(at: DateTime<Utc>) -> Self {
        Self { at, form: Form::Clock }
    }

    /// Day with its year, and minute.
    pub(super) fn date(at: DateTime<Utc>) -> Self {
        Self { at, form: Form::Date }
    }

    /// For `datetime`.
    pub(super) fn iso(&self) -> String {
        self.at.to_rfc3339_opts(SecondsFormat::Secs, true)
    }

    /// For `data-form`.
    pub(super) fn form(&self) -> &'static str {
        match self.form {
            Form::Minute => "minute",
            Form::Second => "second",
            Form::Clock => "clock",
            Form::Date => "date",
        }
    }

    /// The text without the script.
    pub(super) fn utc(&self) -> String {
        let format = match self.form {
            Form::Minute => "%-d %b, %H:%M UTC",
            Form::Second => "%-d %b, %H:%M:%S UTC",
            Form::Clock => "%H:%M:%S UTC",
            Form::Date => "%-d %b %Y, %H:%M UTC",
        };
        self.at.format(format).to_string()
    }
}

/// A length of time: `2 min 32 s`.
pub(super) fn length(seconds: i64) -> String {
    match (seconds / 60, seconds % 60) {
        (0, seconds) => format!("{seconds} s"),
        (minutes, 0) => format!("{minutes} min"),
        (minutes, seconds) => format!("{minutes} min {seconds:02} s"),
    }
}

/// Whole minutes where they are whole, else a length.
pub(super) fn minutes(seconds: u64) -> String {
    if seconds.is_multiple_of(60) {
        return super::money::grouped(seconds / 60);
    }
    let minutes = seconds / 60;
    format!("{} min {:02} s", super::money::grouped(minutes), seconds % 60)
}

/// What is left until an instant: `29 days 21 h`.
pub(super) fn left(now: DateTime<Utc>, until: DateTime<Utc>) -> String {
    let minutes = (until - now).num_minutes().max(0);
    let (days, hours) = (minutes / 1_440, minutes / 60 % 24);
    let plural = |number: i64, word: &str| {
        if number == 1 { format!("1 {word}") } else { format!("{number} {word}s") }
    };
    match (days, hours) {
        (0, 0) => plural(minutes, "minute"),
        (0, hours) => plural(hours, "hour"),
        (days, 0) => plural(days, "day"),
        (days, hours) => format!("{} {hours} h", plural(days, "day")),
    }
}

#[cfg(test)]
mod tests {
    use super::{left, length, minutes};
    use chrono::{DateTime, TimeDelta};

    #[test]
    fn lengths_are_in_minutes_and_seconds() {
        let lengths = [0, 38, 60, 152, 3_600].map(length);
        assert_eq!(lengths, ["0 s", "38 s", "1 min", "2 min 32 s", "60 min"]);
        assert_eq!([6_000, 90].map(minutes), ["100", "1 min 30 s"]);
        let now = DateTime::UNIX_EPOCH;
        let left = |delta| left(now, now + delta);
        assert_eq!(left(TimeDelta::hours(29 * 24 + 21)), "29 days 21 h");
        assert_eq!(left(TimeDelta::hours(24)), "1 day");
        assert_eq!(left(TimeDelta::minutes(61)), "1 hour");
        assert_eq!(left(TimeDelta::minutes(-1)), "0 minutes");
    }
}
