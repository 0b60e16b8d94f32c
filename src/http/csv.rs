//! Lists as CSV (RFC 4180): amounts are machine-readable, and text must never be a formula in a
//! spreadsheet.

use std::cmp::Reverse;
use std::fmt::Write as _;
use std::future::Future;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures::Stream;

use crate::ledger::LedgerError;
use crate::ledger::history::Stretch;

/// Rows of an export read at once.
const EXPORT_PAGE: u16 = 1000;
/// Characters with which a spreadsheet may begin a formula. It may skip a tab or an end of line
/// before one, and some read a full-width sign as the plain one.
const FORMULA_BEGINS: [char; 11] =
    ['=', '+', '-', '@', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}', '\t', '\r', '\n'];
/// Media type of an export.
pub(super) const MEDIA_TYPE: &str = "text/csv; charset=utf-8";

/// One line of an export, written field by field.
#[derive(Debug, Default)]
pub(super) struct Line(String);

impl Line {
    /// Adds a value of this service: an id, a time, an amount.
    pub(super) fn value(mut self, value: impl std::fmt::Display) -> Self {
        self.separate();
        // Writing to a string cannot fail.
        let _ = write!(self.0, "{value}");
        self
    }

    /// Adds a value that may be absent.
    pub(super) fn optional(self, value: Option<impl std::fmt::Display>) -> Self {
        match value {
            Some(value) => self.value(value),
            None => self.value(""),
        }
    }

    /// Adds text from outside, quoted if needed. Text that a spreadsheet could read as a formula
    /// gets a leading `'`.
    pub(super) fn text(mut self, text: &str) -> Self {
        self.separate();
        let formula = text.starts_with(FORMULA_BEGINS);
        let prefix = if formula { "'" } else { "" };
        if formula || text.contains(['"', ',', '\n', '\r']) {
            let _ = write!(self.0, "\"{prefix}{}\"", text.replace('"', "\"\""));
        } else {
            self.0.push_str(text);
        }
        self
    }

    /// Adds a party of a call: a number unchanged, because machines dial it; anything else as text.
    pub(super) fn end_of_line(self, end: Option<&str>) -> Self {
        let end = end.unwrap_or_default();
        let digits = end.strip_prefix('+').unwrap_or_default();
        let is_number =
            (1..=15).contains(&digits.len()) && digits.bytes().all(|it| it.is_ascii_digit());
        if is_number { self.value(end) } else { self.text(end) }
    }

    /// Ends the line.
    pub(super) fn end(mut self, export: &mut String) {
        self.0.push_str("\r\n");
        // The separator before the first field.
        export.push_str(&self.0[1..]);
    }

    fn separate(&mut self) {
        self.0.push(',');
    }
}

/// Reads an export page by page, as fast as the client reads it. `read` returns the lines of a
/// page, and the cursor of the next page.
pub(super) fn pages<R, F>(
    head: &'static str,
    first: Stretch,
    read: R,
) -> impl Stream<Item = Result<String, LedgerError>>
where
    R: Fn(Stretch) -> F,
    F: Future<Output = Result<(String, Option<i64>), LedgerError>>,
{
    let first = Stretch { limit: EXPORT_PAGE, ..first };
    let start = Some((first, head.to_owned()));
    futures::stream::unfold((start, read), |(rest, read)| async move {
        let (stretch, mut text) = rest?;
        match read(stretch).await {
            Ok((lines, next)) => {
                text.push_str(&lines);
                let next = next.map(|below| Stretch { below: Some(below), ..stretch });
                Some((Ok(text), (next.map(|stretch| (stretch, String::new())), read)))
            }
            Err(error) => Some((Err(error), (None, read))),
        }
    })
}

/// True if a caller prefers CSV to JSON (RFC 9110, 12.5.1): by weight, then by the more specific
/// range, then by the order. The default is JSON.
pub(super) fn wanted(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let accepted: Vec<&str> = accepted.flat_map(|value| value.split(',')).collect();
    let csv = preference(&accepted, ["text/csv", "text/*", "*/*"]);
    csv.is_some_and(|csv| {
        let json = preference(&accepted, ["application/json", "application/*", "*/*"]);
        csv.thousandths > 0 && json.is_none_or(|json| csv > json)
    })
}

/// The preference for a media type; greater is preferred. The order of the fields matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Preference {
    thousandths: u16,
    exactness: Reverse<usize>,
    place: Reverse<usize>,
}

/// The preference of a list of media ranges for a type; `names` go from exact to general.
fn preference(accepted: &[&str], names: [&str; 3]) -> Option<Preference> {
    names.iter().enumerate().find_map(|(exactness, name)| {
        accepted.iter().enumerate().find_map(|(place, range)| {
            let (range, parameters) = range.split_once(';').unwrap_or((range, ""));
            range.trim().eq_ignore_ascii_case(name).then(|| Preference {
                thousandths: weight(parameters),
                exactness: Reverse(exactness),
                place: Reverse(place),
            })
        })
    })
}

/// The weight in a range's parameters, in thousandths; an unreadable one counts as absent.
fn weight(parameters: &str) -> u16 {
    let weight = parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("q").then(|| value.trim())
    });
    let read = |weight: &str| {
        let (whole, decimals) = weight.split_once('.').unwrap_or((weight, ""));
        let is_number = decimals.len() <= 3 && decimals.bytes().all(|it| it.is_ascii_digit());
        let thousandths: u16 = format!("{decimals:0<3}").parse().ok().filter(|_| is_number)?;
        match whole {
            "0" => Some(thousandths),
            "1" if thousandths == 0 => Some(1000),
            _ => None,
        }
    };
    weight.and_then(read).unwrap_or(1000)
}

/// Marks an answer that depends on `Accept`.
pub(super) fn varying(mut response: Response) -> Response {
    response.headers_mut().insert(header::VARY, HeaderValue::from(header::ACCEPT));
    response
}

/// Streams an export as it is read. If it fails midway the connection breaks, so that the client
/// knows that it is not complete.
pub(super) fn respond<E>(parts: impl Stream<Item = Result<String, E>> + Send + 'static) -> Response
where
    E: std::error::Error + Send + Sync + 'static,
{
    use futures::StreamExt as _;
    let body = Body::from_stream(parts.map(|part| part.map(Bytes::from)));
    let mut response = body.into_response();
    let media_type = HeaderValue::from_static(MEDIA_TYPE);
    response.headers_mut().insert(header::CONTENT_TYPE, media_type);
    varying(response)
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue, header};

    use super::{Line, wanted};

    #[test]
    fn csv_is_for_those_who_prefer_it_to_json() {
        let check = |accept: &[&'static str], expected| {
            let mut headers = HeaderMap::new();
            for value in accept {
                headers.append(header::ACCEPT, HeaderValue::from_static(value));
            }
            assert_eq!(wanted(&headers), expected, "{accept:?}");
        };
        check(&[], false);
        check(&["text/csv"], true);
        check(&["TEXT/CSV; charset=utf-8"], true);
        check(&["text/*"], true);
        check(&["*/*"], false);
        check(&["text/html"], false);
        check(&["text/csv;q=0"], false);
        check(&["text/csv;q=0.000, text/*"], false);
        check(&["application/json;q=0.1, text/csv;q=0.9"], true);
        check(&["text/csv;q=0.1, application/json;q=0.9"], false);
        check(&["text/csv;q=0.1, application/json"], false);
        check(&["application/json", "text/csv;q=0.9"], false);
        check(&["application/json;q=0", "text/csv;q=0.001"], true);
        check(&["text/csv, */*"], true);
        check(&["*/*, text/csv"], true);
        check(&["*/*;q=0.5, text/csv;q=0.4"], false);
        check(&["text/csv, application/json"], true);
        check(&["application/json, text/csv"], false);
        check(&["application/json;q=x, text/csv;q=0.9"], false);
    }

    #[test]
    fn free_text_is_quoted_and_never_a_formula() {
        let line = |text: &str| {
            let mut export = String::new();
            Line::default().value("-1.500000").text(text).optional(None::<i64>).end(&mut export);
            export
        };
        assert_eq!(line("plain"), "-1.500000,plain,\r\n");
        assert_eq!(line("a \"b\", c"), "-1.500000,\"a \"\"b\"\", c\",\r\n");
        assert_eq!(line("=1+1"), "-1.500000,\"'=1+1\",\r\n");
        for begin in super::FORMULA_BEGINS {
            let text = format!("{begin}x");
            assert_eq!(line(&text), format!("-1.500000,\"'{begin}x\",\r\n"), "{text:?}");
        }
        let end = |text| {
            let mut export = String::new();
            Line::default().end_of_line(text).end(&mut export);
            export
        };
        assert_eq!(end(Some("+15005550100")), "+15005550100\r\n");
        assert_eq!(end(Some("+1+1")), "\"'+1+1\"\r\n");
        assert_eq!(end(Some("sip:a@b")), "sip:a@b\r\n");
        assert_eq!(end(None), "\r\n");
        assert_eq!(line("two\nlines"), "-1.500000,\"two\nlines\",\r\n");
    }
}
