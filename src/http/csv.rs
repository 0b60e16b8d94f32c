//! Lists as CSV (RFC 4180): amounts as machines read them, free text safe in a spreadsheet.

use std::fmt::Write as _;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures::Stream;

/// Media type of an export.
const MEDIA_TYPE: &str = "text/csv; charset=utf-8";

/// One line of an export, written field by field.
#[derive(Debug, Default)]
pub(super) struct Line(String);

impl Line {
    /// Adds a value of our own making: an id, an instant, an amount.
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

    /// Adds text that somebody wrote: quoted where it must be, and never a formula.
    pub(super) fn text(mut self, text: &str) -> Self {
        self.separate();
        let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
        let prefix = if formula { "'" } else { "" };
        if formula || text.contains(['"', ',', '\n', '\r']) {
            let _ = write!(self.0, "\"{prefix}{}\"", text.replace('"', "\"\""));
        } else {
            self.0.push_str(text);
        }
        self
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

/// True where a caller prefers CSV to JSON.
pub(super) fn wanted(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    let first = accept.and_then(|accept| accept.split([',', ';']).next());
    first.is_some_and(|first| first.trim().eq_ignore_ascii_case("text/csv"))
}

/// Answers an export as it is read; one that fails midway breaks off, so that nobody takes it for
/// whole.
pub(super) fn respond<E>(parts: impl Stream<Item = Result<String, E>> + Send + 'static) -> Response
where
    E: std::error::Error + Send + Sync + 'static,
{
    use futures::StreamExt as _;
    let body = Body::from_stream(parts.map(|part| part.map(Bytes::from)));
    let mut response = body.into_response();
    let media_type = HeaderValue::from_static(MEDIA_TYPE);
    response.headers_mut().insert(header::CONTENT_TYPE, media_type);
    response
}

#[cfg(test)]
mod tests {
    use super::Line;

    #[test]
    fn free_text_is_quoted_and_never_a_formula() {
        let line = |text| {
            let mut export = String::new();
            Line::default().value("-1.500000").text(text).optional(None::<i64>).end(&mut export);
            export
        };
        assert_eq!(line("plain"), "-1.500000,plain,\r\n");
        assert_eq!(line("a \"b\", c"), "-1.500000,\"a \"\"b\"\", c\",\r\n");
        assert_eq!(line("=1+1"), "-1.500000,\"'=1+1\",\r\n");
        assert_eq!(line("@x"), "-1.500000,\"'@x\",\r\n");
        assert_eq!(line("two\nlines"), "-1.500000,\"two\nlines\",\r\n");
    }
}
