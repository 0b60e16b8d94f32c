//! Parses Twilio's times: RFC 2822 in a callback's `Timestamp`, RFC 3339 in a CloudEvent.

use std::borrow::Cow;

use chrono::{DateTime, FixedOffset, NaiveDate, SubsecRound, Utc};

/// The named zones with an offset in RFC 2822 (section 4.3); any other word counts as `-0000`.
const NAMED_ZONES: [&str; 8] = ["EST", "EDT", "CST", "CDT", "MST", "MDT", "PST", "PDT"];

/// The months in RFC 2822, as Twilio spells them.
const MONTHS: [&[u8; 3]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];

/// Parses a time in either form, in whole microseconds; `None` if the text is neither.
///
/// The weekday of an RFC 2822 date is not checked: the date counts.
pub fn parse(text: &str) -> Option<DateTime<Utc>> {
    parse_usual(text).or_else(|| parse_any(text))
}

fn parse_any(text: &str) -> Option<DateTime<Utc>> {
    let text = text.trim();
    DateTime::parse_from_rfc3339(text)
        .ok()
        .or_else(|| parse_rfc2822(text))
        .map(|instant| instant.with_timezone(&Utc).trunc_subsecs(6))
}

/// As [`parse_any`], for a time as Twilio writes it: `Sun, 25 Mar 2018 09:53:19 +0000`.
///
/// Most records have one, and reading any form takes as long as finding it in the record.
fn parse_usual(text: &str) -> Option<DateTime<Utc>> {
    let text: &[u8; 31] = text.as_bytes().try_into().ok()?;
    let &[w1, w2, w3, b',', b' ', ref date @ .., b' ', b'+', b'0', b'0', b'0', b'0'] = text else {
        return None;
    };
    let &[d1, d2, b' ', m1, m2, m3, b' ', y1, y2, y3, y4, b' ', ref time @ ..] = date else {
        return None;
    };
    let &[h1, h2, b':', n1, n2, b':', s1, s2] = time else { return None };
    if ![w1, w2, w3].iter().all(u8::is_ascii_alphabetic) {
        return None;
    }
    let month = MONTHS.iter().zip(1..).find(|(name, _)| ***name == [m1, m2, m3])?.1;
    let year = i32::try_from(number([y1, y2, y3, y4])?).ok()?;
    let date = NaiveDate::from_ymd_opt(year, month, number([d1, d2])?)?;
    let time = date.and_hms_opt(number([h1, h2])?, number([n1, n2])?, number([s1, s2])?)?;
    Some(time.and_utc())
}

/// The number that these digits write.
fn number<const N: usize>(digits: [u8; N]) -> Option<u32> {
    digits.iter().try_fold(0, |number, digit| {
        digit.is_ascii_digit().then(|| number * 10 + u32::from(digit - b'0'))
    })
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
    use proptest::prelude::*;

    use super::{MONTHS, parse, parse_any, parse_usual};

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

    #[test]
    fn each_month_as_twilio_writes_it_is_read_at_once() {
        for (month, number) in MONTHS.iter().zip(1..) {
            let month = String::from_utf8_lossy(&month[..]);
            let text = format!("Sun, 25 {month} 2018 09:53:19 +0000");
            check(&text, Some(&format!("2018-{number:02}-25T09:53:19+00:00")));
            assert!(parse_usual(&text).is_some(), "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn a_time_read_at_once_is_the_time_that_is_read_in_any_form(
            text in "[A-Za-z][a-z,][a-z0 ], [0-3 ][0-9] (Jan|Feb|feb|Apr|Jun|Dec|Dez) [0-2][0-9]{3} \
                     [0-2][0-9]:[0-6][0-9]:[0-6][0-9] [+-]0[0-9]0(0|0|:)"
        ) {
            if let Some(instant) = parse_usual(&text) {
                prop_assert_eq!(Some(instant), parse_any(&text));
            }
        }
    }
}
