//! Times of the model: microseconds since 1970 in UTC, and the calendar.

/// Microseconds since 1970-01-01T00:00:00Z.
pub(crate) type At = i64;

pub(crate) const SECOND: i64 = 1_000_000;
pub(crate) const MINUTE: i64 = 60 * SECOND;
pub(crate) const HOUR: i64 = 60 * MINUTE;
pub(crate) const DAY: i64 = 24 * HOUR;

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];

/// A date of the Gregorian calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Date {
    pub(crate) year: i64,
    pub(crate) month: i64,
    pub(crate) day: i64,
}

impl Date {
    /// The number of days since 1970-01-01, counted year by year and month by month.
    pub(crate) fn day_number(self) -> i64 {
        let leap_days = |year: i64| (year - 1) / 4 - (year - 1) / 100 + (year - 1) / 400;
        let years = (self.year - 1970) * 365 + leap_days(self.year) - leap_days(1970);
        let months: i64 = (1..self.month).map(|month| days_in_month(self.year, month)).sum();
        years + months + self.day - 1
    }

    /// The day after this one.
    pub(crate) fn next(self) -> Date {
        if self.day < days_in_month(self.year, self.month) {
            Date { day: self.day + 1, ..self }
        } else if self.month < 12 {
            Date { month: self.month + 1, day: 1, ..self }
        } else {
            Date { year: self.year + 1, month: 1, day: 1 }
        }
    }
}

/// The length of a month.
pub(crate) fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if (year % 4 == 0 && year % 100 != 0) || year % 400 == 0 => 29,
        2 => 28,
        _ => 31,
    }
}

/// The date of a time (from 1970).
pub(crate) fn date_of(at: At) -> Date {
    let mut left = at.div_euclid(DAY);
    let mut date = Date { year: 1970, month: 1, day: 1 };
    while left >= if days_in_month(date.year, 2) == 29 { 366 } else { 365 } {
        left -= if days_in_month(date.year, 2) == 29 { 366 } else { 365 };
        date.year += 1;
    }
    while left >= days_in_month(date.year, date.month) {
        left -= days_in_month(date.year, date.month);
        date.month += 1;
    }
    date.day += left;
    date
}

/// The time of a date and a time of day.
pub(crate) fn at(date: (i64, i64, i64), time: (i64, i64, i64)) -> At {
    let date = Date { year: date.0, month: date.1, day: date.2 };
    date.day_number() * DAY + time.0 * HOUR + time.1 * MINUTE + time.2 * SECOND
}

/// Writes a time as RFC 3339 in UTC, with as many decimals of the second as it needs.
pub(crate) fn rfc3339(at: At) -> String {
    let (date, clock) = (date_of(at), clock_of(at));
    let fraction = match at.rem_euclid(SECOND) {
        0 => String::new(),
        micros if micros % 1_000 == 0 => format!(".{:03}", micros / 1_000),
        micros => format!(".{micros:06}"),
    };
    format!("{:04}-{:02}-{:02}T{clock}{fraction}Z", date.year, date.month, date.day)
}

/// Writes a time as RFC 2822, at an offset from UTC in minutes.
pub(crate) fn rfc2822(at: At, offset_minutes: i64) -> String {
    let local = at + offset_minutes * MINUTE;
    let date = date_of(local);
    let weekday = WEEKDAYS[usize::try_from(local.div_euclid(DAY) % 7).expect("after 1970")];
    let month = MONTHS[usize::try_from(date.month - 1).expect("a month")];
    let sign = if offset_minutes < 0 { '-' } else { '+' };
    let (hours, minutes) = (offset_minutes.abs() / 60, offset_minutes.abs() % 60);
    format!(
        "{weekday}, {:02} {month} {:04} {} {sign}{hours:02}{minutes:02}",
        date.day,
        date.year,
        clock_of(local)
    )
}

fn clock_of(at: At) -> String {
    let seconds = at.rem_euclid(DAY) / SECOND;
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// Parses RFC 3339; `None` if the text is invalid.
pub(crate) fn parse_rfc3339(text: &str) -> Option<At> {
    let (date, clock) = text.split_once('T')?;
    let split = clock.find(['Z', '+', '-'])?;
    let (clock, zone) = clock.split_at(split);
    let offset = if zone == "Z" {
        0
    } else {
        let (hours, minutes) = zone[1..].split_once(':')?;
        let minutes = number(hours, 2)? * 60 + number(minutes, 2)?;
        if zone.starts_with('-') { -minutes } else { minutes }
    };
    let mut parts = date.splitn(3, '-');
    let date = Date {
        year: number(parts.next()?, 4)?,
        month: number(parts.next()?, 2)?,
        day: number(parts.next()?, 2)?,
    };
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    if fraction.is_empty() || fraction.len() > 6 {
        return None;
    }
    let micros = number(&format!("{fraction:0<6}"), 6)?;
    assemble(date, clock, offset).map(|at| at + micros)
}

/// The named zones with an offset, in hours behind UTC.
const AMERICAN: [(&str, i64); 8] = [
    ("EST", 5),
    ("EDT", 4),
    ("CST", 6),
    ("CDT", 5),
    ("MST", 7),
    ("MDT", 6),
    ("PST", 8),
    ("PDT", 7),
];

/// Parses RFC 2822; `None` if the text is invalid.
pub(crate) fn parse_rfc2822(text: &str) -> Option<At> {
    let text = match text.split_once(", ") {
        Some((weekday, rest)) => WEEKDAYS.contains(&weekday).then_some(rest)?,
        None => text,
    };
    let mut words = text.split(' ');
    let (day, month, year) = (words.next()?, words.next()?, words.next()?);
    let (clock, zone) = (words.next()?, words.next()?);
    if words.next().is_some() {
        return None;
    }
    let zone = zone.replacen(':', "", 1);
    let offset = if zone.bytes().all(|b| b.is_ascii_alphabetic()) && !zone.is_empty() {
        let named = AMERICAN.iter().find(|(name, _)| name.eq_ignore_ascii_case(&zone));
        named.map_or(0, |(_, hours)| -hours * 60)
    } else {
        let minutes = number(zone.get(1..3)?, 2)? * 60 + number(zone.get(3..)?, 2)?;
        match zone.as_bytes()[0] {
            b'+' => minutes,
            b'-' => -minutes,
            _ => return None,
        }
    };
    let date = Date {
        year: number(year, 4)?,
        month: i64::try_from(MONTHS.iter().position(|name| *name == month)?).ok()? + 1,
        day: number(day, day.len())?,
    };
    assemble(date, clock, offset)
}

/// Parses a date.
pub(crate) fn parse_date(text: &str) -> Option<Date> {
    let mut parts = text.splitn(3, '-');
    let date = Date {
        year: number(parts.next()?, 4)?,
        month: number(parts.next()?, 2)?,
        day: number(parts.next()?, 2)?,
    };
    is_real(date).then_some(date)
}

fn is_real(date: Date) -> bool {
    date.year >= 1970
        && (1..=12).contains(&date.month)
        && (1..=days_in_month(date.year, date.month)).contains(&date.day)
}

fn assemble(date: Date, clock: &str, offset_minutes: i64) -> Option<At> {
    let mut parts = clock.splitn(3, ':');
    let hour = number(parts.next()?, 2)?;
    let minute = number(parts.next()?, 2)?;
    let second = number(parts.next()?, 2)?;
    if !is_real(date) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let local = at((date.year, date.month, date.day), (hour, minute, second));
    Some(local - offset_minutes * MINUTE)
}

fn number(text: &str, length: usize) -> Option<i64> {
    let right = text.len() == length && text.bytes().all(|b| b.is_ascii_digit());
    if right { text.parse().ok() } else { None }
}

#[test]
fn the_model_tells_the_time() {
    let leap = at((2024, 2, 29), (23, 59, 59));
    assert_eq!(leap, 1_709_251_199 * SECOND, "as `date -u +%s` says");
    assert_eq!(rfc3339(leap), "2024-02-29T23:59:59Z");
    assert_eq!(rfc2822(leap, 0), "Thu, 29 Feb 2024 23:59:59 +0000");
    assert_eq!(rfc2822(leap, -330), "Thu, 29 Feb 2024 18:29:59 -0530");
    let sample = 1_521_971_599 * SECOND;
    assert_eq!(parse_rfc2822("Sun, 25 Mar 2018 09:53:19 +0000"), Some(sample));
    assert_eq!(parse_rfc2822("Sun, 25 Mar 2018 15:23:19 +0530"), Some(sample));
    for zone in ["UTC", "Z", "GMT", "cest", "+00:00", "-0000"] {
        assert_eq!(parse_rfc2822(&format!("Sun, 25 Mar 2018 09:53:19 {zone}")), Some(sample));
    }
    assert_eq!(parse_rfc2822("Sun, 25 Mar 2018 05:53:19 EDT"), Some(sample));
    assert_eq!(parse_rfc3339("2018-03-25T09:53:19Z"), Some(sample));
    assert_eq!(parse_rfc3339("2018-03-25T11:53:19.25+02:00"), Some(sample + SECOND / 4));
    for bad in ["", "yesterday", "2023-02-29T00:00:00Z", "2018-13-01T00:00:00Z", "1521971599"] {
        assert_eq!((parse_rfc3339(bad), parse_rfc2822(bad)), (None, None), "{bad}");
    }
    assert_eq!(parse_date("2024-02-29"), Some(Date { year: 2024, month: 2, day: 29 }));
    assert_eq!(parse_date("2023-02-29"), None);
}

#[test]
fn the_model_writes_what_it_reads_on_every_day_of_nine_years() {
    let mut date = Date { year: 2018, month: 1, day: 1 };
    while date.year < 2027 {
        let noon = date.day_number() * DAY + 12 * HOUR + 34 * MINUTE + 56 * SECOND;
        assert_eq!(date_of(noon), date);
        assert_eq!(parse_rfc3339(&rfc3339(noon)), Some(noon));
        assert_eq!(parse_rfc2822(&rfc2822(noon, 765)), Some(noon));
        assert_eq!(date.next().day_number(), date.day_number() + 1);
        date = date.next();
    }
}
