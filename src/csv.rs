//! Lists as CSV (RFC 4180): amounts are machine-readable, and text must never be a formula in a
//! spreadsheet.
//!
//! Beside the flow, below both doors that export.

use std::fmt::Write as _;
use std::future::Future;

use chrono::{DateTime, SecondsFormat, Utc};
use futures::Stream;

use crate::json::{CallJson, TransactionJson};
use crate::ledger::LedgerError;
use crate::ledger::history::Stretch;

/// Rows of an export read at once.
const EXPORT_PAGE: u16 = 1000;
/// Characters with which a spreadsheet may begin a formula. It may skip a tab or an end of line
/// before one, and some read a full-width sign as the plain one.
const FORMULA_BEGINS: [char; 11] =
    ['=', '+', '-', '@', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}', '\t', '\r', '\n'];
/// Media type of an export.
pub(crate) const MEDIA_TYPE: &str = "text/csv; charset=utf-8";

/// One line of an export, written field by field.
#[derive(Debug, Default)]
pub(crate) struct Line(String);

impl Line {
    /// Adds a value of this service: an id, a time, an amount.
    pub(crate) fn value(mut self, value: impl std::fmt::Display) -> Self {
        self.separate();
        // Writing to a string cannot fail.
        let _ = write!(self.0, "{value}");
        self
    }

    /// Adds a value that may be absent.
    pub(crate) fn optional(self, value: Option<impl std::fmt::Display>) -> Self {
        match value {
            Some(value) => self.value(value),
            None => self.value(""),
        }
    }

    /// Adds text from outside, quoted if needed. Text that a spreadsheet could read as a formula
    /// gets a leading `'`.
    pub(crate) fn text(mut self, text: &str) -> Self {
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
    pub(crate) fn end_of_line(self, end: Option<&str>) -> Self {
        let end = end.unwrap_or_default();
        let digits = end.strip_prefix('+').unwrap_or_default();
        let is_number =
            (1..=15).contains(&digits.len()) && digits.bytes().all(|it| it.is_ascii_digit());
        if is_number { self.value(end) } else { self.text(end) }
    }

    /// Ends the line.
    pub(crate) fn end(mut self, export: &mut String) {
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
pub(crate) fn pages<R, F>(
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

/// First line of an export of transactions.
pub(crate) const TRANSACTIONS: &str = "id,sequence,at,type,kind,amount,balance_before,balance_after,description,\
    status,payment_intent_id,call_sid,refers_to\r\n";

/// Writes a transaction as a line of CSV, in the field order of the JSON.
pub(crate) fn transaction_line(row: &TransactionJson, line: Line) -> Line {
    line.value(&row.id)
        .value(row.sequence)
        .value(rfc3339(row.at))
        .value(row.direction)
        .value(row.kind)
        .value(row.amount)
        .value(row.balance_before)
        .value(row.balance_after)
        .text(&row.description)
        .value(row.status)
        .optional(row.payment_intent_id.as_ref())
        .text(row.call_sid.as_deref().unwrap_or_default())
        .optional(row.refers_to.as_ref())
}

/// First line of an export of charged calls.
pub(crate) const CALLS: &str = "call_sid,parent_call_sid,from,to,direction,started_at,seconds,\
    billed_seconds,allowance_seconds,wallet_seconds,rate_per_minute,amount,plan,cycle_start,\
    charge_sequence,tag,transaction_id\r\n";

/// Writes a charged call as a line of CSV, in the field order of the JSON.
pub(crate) fn call_line(call: &CallJson, line: Line) -> Line {
    line.text(&call.call_sid)
        .text(call.parent_call_sid.as_deref().unwrap_or_default())
        .end_of_line(call.from.as_deref())
        .end_of_line(call.to.as_deref())
        .text(call.direction.as_deref().unwrap_or_default())
        .value(rfc3339(call.started_at))
        .value(call.seconds)
        .value(call.billed_seconds)
        .value(call.allowance_seconds)
        .value(call.wallet_seconds)
        .value(call.rate_per_minute)
        .value(call.amount)
        .optional(call.plan.as_ref())
        .optional(call.cycle_start.map(rfc3339))
        .value(call.charge_sequence)
        .text(call.tag.as_deref().unwrap_or_default())
        .optional(call.transaction_id.as_ref())
}

/// A time in the form of the JSON.
pub(crate) fn rfc3339(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

#[cfg(test)]
mod tests {
    use super::Line;

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
