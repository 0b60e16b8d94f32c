//! Masks phone numbers in logs.
//!
//! Beside the flow: every log line passes through here before it is written. So an error of
//! Postgres or Kafka that repeats a number does not show it either.

use std::borrow::Cow;
use std::io::{self, Write};

/// Digits of the shortest and the longest E.164 number, with its country code.
const DIGITS: std::ops::RangeInclusive<usize> = 7..=15;
/// What stays of a number: the plus sign with two digits, and its last two.
const SHOWN: usize = 2;

/// Masks every phone number in a text: `+442071838750` is shown as `+44********50`.
///
/// A number is a plus sign, or its escape `%2B`, with 7 to 15 digits.
pub fn masked(text: &str) -> Cow<'_, str> {
    let mut shown = String::new();
    let mut done = 0;
    for (at, length) in numbers(text.as_bytes()) {
        shown.push_str(&text[done..at + SHOWN]);
        shown.extend(std::iter::repeat_n('*', length - 2 * SHOWN));
        done = at + length - SHOWN;
    }
    if done == 0 {
        return Cow::Borrowed(text);
    }
    shown.push_str(&text[done..]);
    Cow::Owned(shown)
}

/// The address of a receiver as logs and events may show it: its path and query may be its secret.
pub fn masked_url(url: &str) -> String {
    let after_scheme = url.find("://").map_or(0, |at| at + 3);
    let end = url[after_scheme..].find(['/', '?', '#']).map_or(url.len(), |at| after_scheme + at);
    let rest = if url.len() > end + 1 { "/***" } else { "/" };
    format!("{}{rest}", &url[..end])
}

/// Start and length of the digits of each number.
fn numbers(text: &[u8]) -> impl Iterator<Item = (usize, usize)> {
    let begins = |at: usize| text[..at].ends_with(b"+") || text[..at].ends_with(b"%2B");
    let starts = (1..text.len()).filter(move |at| text[*at].is_ascii_digit() && begins(*at));
    let counted =
        starts.map(|at| (at, text[at..].iter().take_while(|byte| byte.is_ascii_digit()).count()));
    counted.filter(|(_, length)| DIGITS.contains(length))
}

/// A writer of whole lines that masks the phone numbers in them.
#[derive(Debug)]
pub struct MaskedWriter<W>(pub W);

impl<W: Write> Write for MaskedWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A line comes whole. Its text is UTF-8; if it were not, its numbers still are.
        let text = String::from_utf8_lossy(bytes);
        self.0.write_all(masked(&text).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(masked(text), expected);
        let mut written = Vec::new();
        MaskedWriter(&mut written).write_all(text.as_bytes()).unwrap();
        assert_eq!(String::from_utf8(written).unwrap(), expected);
    }

    #[test]
    fn numbers_lose_their_middle_and_nothing_else_changes() {
        check("to=+442071838750.", "to=+44********50.");
        check("+15005550001 and %2B15005550101", "+15*******01 and %2B15*******01");
        check("(+1234567)", "(+12***67)");
        check("é+123456789012345é", "é+12***********45é");
        check("2026-11-24T04:15:00+00:00", "2026-11-24T04:15:00+00:00");
        check("offset 123456789012 +123456 +", "offset 123456789012 +123456 +");
        check("+1234567890123456 has too many digits", "+1234567890123456 has too many digits");
        check("", "");
    }
}
