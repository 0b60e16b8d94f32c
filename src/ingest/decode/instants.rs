//! Parses Twilio's times: RFC 2822 in a callback's `Timestamp`, RFC 3339 in a CloudEvent.

use std::borrow::Cow;

use chrono::{DateTime, FixedOffset, SubsecRound, Utc};

/// The named zones with an offset in RFC 2822 (section 4.3); any other word counts as `-0000`.
const NAMED_ZONES: [&str; 8] = ["EST", "EDT", "CST", "CDT", "MST", "MDT", "PST", "PDT"];

/// Parses a time in either form, in whole microseconds; `None` if the text is neither.
///
/// The weekday of an RFC 2822 date is not checked: the date counts.
pub fn parse(text: &str) -> Option<DateTime<Utc>> {
    let text = text.trim();
    DateTime::parse_from_rfc3339(text)
        .ok()
        .or_else(|| parse_rfc2822(text))
        .map(|instant| instant.with_timezone(&Utc).trunc_subsecs(6))
}

fn parse_rfc2822(text: &str) -> Option<DateTime<FixedOffset>> {
    let date = text.split_once(',').map_or(text, |(_, date)| date.trim_start());
    let (rest, zone) = date.rsplit_once(' ')?;
    let is_word = zone.bytes().all(|it| it.is_ascii_alphabetic()) && !zone.is_empty();
    let zone = if is_word && !NAMED_ZONES.iter().any(|named| named.eq_ignore_ascii_case(zone)) {
        Cow::Borrowed("+0000")
    } else if zone.starts_with(['+', '-']) {
        // Some producers write the offset as in RFC 3339.
        Cow::Owned(zone.replacen(':', "", 1))
    } else {
        Cow::Borrowed(zone)
    };
    DateTime::parse_from_rfc2822(&format!("{rest} {zone}")).ok()
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
        check("Sun, 25 Mar 2018 09:53:19 UTC", Some("2018-03-25T09:53:19+00:00"));
        check("Sun, 25 Mar 2018 09:53:19 Z", Some("2018-03-25T09:53:19+00:00"));
        check("Sun, 25 Mar 2018 09:53:19 ut", Some("2018-03-25T09:53:19+00:00"));
        check("Sun, 25 Mar 2018 09:53:19 A", Some("2018-03-25T09:53:19+00:00"));
        check("Sun, 25 Mar 2018 09:53:19 CEST", Some("2018-03-25T09:53:19+00:00"));
        check("Sun, 25 Mar 2018 04:53:19 EST", Some("2018-03-25T09:53:19+00:00"));
        check("Sun, 25 Mar 2018 02:53:19 pdt", Some("2018-03-25T09:53:19+00:00"));
        check("Sun, 25 Mar 2018 09:53:19 +00:00", Some("2018-03-25T09:53:19+00:00"));
        check("Sun, 25 Mar 2018 07:53:19 -02:00", Some("2018-03-25T09:53:19+00:00"));
        check("Sun, 25 Mar 2018 09:53:19 +0000 (UTC)", Some("2018-03-25T09:53:19+00:00"));
        check("Sun, 25 Mar 2018 09:53:19", None);
        check("Sun, 25 Mar 2018 09:53:19 +00:0", None);
        check("Sun, 25 Mar 2018 UTC", None);
        check("UTC", None);
        check("2022-01-12T07:29:46.000Z", Some("2022-01-12T07:29:46+00:00"));
        check("2022-01-12T07:29:46.1234567+01:00", Some("2022-01-12T06:29:46.123456+00:00"));
        check("2022-01-12", None);
        check("yesterday", None);
        check("", None);
        check("Sun, 30 Feb 2020 09:53:19 +0000", None);
    }
}
