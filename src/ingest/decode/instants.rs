//! Reads Twilio's instants: RFC 2822 in a callback's `Timestamp`, RFC 3339 in a CloudEvent.

use chrono::{DateTime, SubsecRound, Utc};

/// Reads an instant in either form, in whole microseconds; `None` where the text is neither.
///
/// The weekday of an RFC 2822 date is not compared with the date: Twilio's date counts.
pub fn parse(text: &str) -> Option<DateTime<Utc>> {
    let text = text.trim();
    let without_weekday = text.split_once(',').map_or(text, |(_, date)| date.trim_start());
    DateTime::parse_from_rfc3339(text)
        .or_else(|_| DateTime::parse_from_rfc2822(without_weekday))
        .ok()
        .map(|instant| instant.with_timezone(&Utc).trunc_subsecs(6))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        let found = parse(text).map(|instant| instant.to_rfc3339());
        assert_eq!(found.as_deref(), expected, "{text:?}");
    }

    #[test]
    fn both_forms_are_read_and_anything_else_is_absent() {
        check("Sun, 25 Mar 2018 09:53:19 +0000", Some("2018-03-25T09:53:19+00:00"));
        check("Mon, 25 Mar 2018 09:53:19 +0000", Some("2018-03-25T09:53:19+00:00"));
        check("25 Mar 2018 09:53:19 GMT", Some("2018-03-25T09:53:19+00:00"));
        check("Sun, 25 Mar 2018 11:53:19 +0200", Some("2018-03-25T09:53:19+00:00"));
        check("2022-01-12T07:29:46.000Z", Some("2022-01-12T07:29:46+00:00"));
        check("2022-01-12T07:29:46.1234567+01:00", Some("2022-01-12T06:29:46.123456+00:00"));
        check("2022-01-12", None);
        check("yesterday", None);
        check("", None);
        check("Sun, 30 Feb 2020 09:53:19 +0000", None);
    }
}
