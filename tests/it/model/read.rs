//! Parses one Kafka record by the rules alone.

use super::money::{Micros, parse_price};
use super::time::{self, At, Date, HOUR, SECOND};
use serde_json::{Map, Value};

/// Longest call in seconds, and how far after its Kafka timestamp a call may end (defaults).
const CALL_SECONDS_MAX: u64 = 24 * 60 * 60;
const END_AHEAD_MAX: i64 = 24 * HOUR;

const STATUSES_WITHOUT_CHARGE: [&str; 8] =
    ["initiated", "queued", "ringing", "in-progress", "busy", "failed", "no-answer", "canceled"];
const CALL_EVENTS: [&str; 2] =
    ["com.twilio.voice.status-callback.call.", "com.twilio.voice.webhook.status-callback.call."];
/// The highest balance of a wallet: 2^53 − 1 micro-dollars.
const WALLET_MAX: Micros = 9_007_199_254_740_991;
const RENTAL_EVENT: &str = "callmeter.number.rental.due";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Topic {
    Calls,
    Rentals,
}

/// A record in Kafka.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) topic: Topic,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    /// Milliseconds since 1970.
    pub(crate) timestamp_ms: i64,
    pub(crate) payload: Option<Vec<u8>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CompletedCall {
    pub(crate) account_sid: String,
    pub(crate) call_sid: String,
    pub(crate) parent_call_sid: Option<String>,
    pub(crate) from: Option<String>,
    pub(crate) to: Option<String>,
    pub(crate) direction: Option<String>,
    pub(crate) seconds: i64,
    pub(crate) start: At,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RentalDue {
    pub(crate) account_sid: String,
    pub(crate) phone_number_sid: String,
    pub(crate) country: String,
    pub(crate) kind: String,
    pub(crate) period_start: (i64, i64, i64),
    pub(crate) price: Option<Micros>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    Completed(CompletedCall),
    Rental(RentalDue),
    /// A call event that costs nothing.
    NotBillable,
    /// An event of another type.
    Skipped,
    Undecodable,
    Invalid(&'static str),
}

/// Reads a record of either topic.
pub(crate) fn read(record: &Record) -> Reading {
    let Some(value) = record.payload.as_deref().and_then(parse_json) else {
        return Reading::Undecodable;
    };
    let Value::Object(event) = value else {
        return Reading::Undecodable;
    };
    match record.topic {
        Topic::Calls => read_call(&event, record.timestamp_ms),
        Topic::Rentals => read_rental(&event),
    }
}

/// Parses JSON as Twilio may send it: a lone surrogate or an invalid UTF-8 byte counts as U+FFFD.
fn parse_json(bytes: &[u8]) -> Option<Value> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    serde_json::from_str(&mend_surrogates(&String::from_utf8_lossy(bytes))).ok()
}

/// Replaces every surrogate escape that is not half of a pair with `\ufffd`.
fn mend_surrogates(text: &str) -> String {
    let mut mended = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(backslash) = rest.find('\\') {
        mended.push_str(&rest[..backslash]);
        rest = &rest[backslash..];
        let length = match surrogate(rest) {
            Some(0xd800..=0xdbff) if matches!(surrogate(&rest[6..]), Some(0xdc00..=0xdfff)) => 12,
            Some(0xd800..=0xdfff) => {
                mended.push_str("\\ufffd");
                rest = &rest[6..];
                continue;
            }
            _ => 1 + rest[1..].chars().next().map_or(0, char::len_utf8),
        };
        mended.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    mended.push_str(rest);
    mended
}

/// The code unit of a `\uXXXX` escape at the start of `text`.
fn surrogate(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    u32::from_str_radix(digits, 16).ok()
}

fn read_call(event: &Map<String, Value>, timestamp_ms: i64) -> Reading {
    let there = |key: &str| event.get(key).is_some_and(|value| !value.is_null());
    let is_callback =
        !there("type") && text(event, "AccountSid").is_some() && text(event, "CallSid").is_some();
    if is_callback || !(there("specversion") || there("data")) {
        return read_parameters(event, &Map::new(), &Map::new(), timestamp_ms);
    }
    let Some(kind) = event.get("type").and_then(Value::as_str) else {
        return Reading::Invalid("no type");
    };
    if !CALL_EVENTS.iter().any(|family| kind.starts_with(family)) {
        return Reading::Skipped;
    }
    let data = match event.get("data") {
        Some(Value::Object(data)) => data.clone(),
        Some(Value::String(text)) => match parse_json(text.as_bytes()) {
            Some(Value::Object(data)) => data,
            _ => return Reading::Undecodable,
        },
        _ => return Reading::Invalid("no data"),
    };
    let parameters = data.get("request").and_then(|request| request.get("parameters"));
    let Some(Value::Object(parameters)) = parameters else {
        return Reading::Invalid("no parameters");
    };
    read_parameters(parameters, &data, event, timestamp_ms)
}

fn read_parameters(
    parameters: &Map<String, Value>,
    data: &Map<String, Value>,
    event: &Map<String, Value>,
    timestamp_ms: i64,
) -> Reading {
    match parameters.get("CallStatus").and_then(Value::as_str) {
        Some("completed") => {}
        Some(status) if STATUSES_WITHOUT_CHARGE.contains(&status) => return Reading::NotBillable,
        _ => return Reading::Invalid("unknown CallStatus"),
    }
    let (Some(call_sid), Some(account_sid)) =
        (identity(parameters, "CallSid"), identity(parameters, "AccountSid"))
    else {
        return Reading::Invalid("no CallSid or AccountSid");
    };
    let Some(seconds) = parameters.get("CallDuration").and_then(whole_number) else {
        return Reading::Invalid("no whole CallDuration");
    };
    if seconds > CALL_SECONDS_MAX {
        return Reading::Invalid("CallDuration too long");
    }
    let seconds = i64::try_from(seconds).expect("at most a day");
    let end = text(parameters, "Timestamp")
        .and_then(|text| time::parse_rfc2822(&text))
        .or_else(|| text(data, "timestamp").and_then(|text| time::parse_rfc3339(&text)))
        .or_else(|| text(event, "time").and_then(|text| time::parse_rfc3339(&text)))
        .unwrap_or(timestamp_ms * 1_000);
    if end > timestamp_ms * 1_000 + END_AHEAD_MAX {
        return Reading::Invalid("ends too far ahead");
    }
    Reading::Completed(CompletedCall {
        account_sid,
        call_sid,
        parent_call_sid: text(parameters, "ParentCallSid"),
        from: text(parameters, "From"),
        to: text(parameters, "To"),
        direction: text(parameters, "Direction"),
        seconds,
        start: end - seconds * SECOND,
    })
}

fn read_rental(event: &Map<String, Value>) -> Reading {
    if event.get("type").and_then(Value::as_str) != Some(RENTAL_EVENT) {
        return Reading::Skipped;
    }
    let Some(Value::Object(data)) = event.get("data") else {
        return Reading::Invalid("no data");
    };
    let words = ["AccountSid", "PhoneNumberSid", "IsoCountry", "NumberType"];
    let [account_sid, phone_number_sid, country, kind] = words.map(|key| identity(data, key));
    let (Some(account_sid), Some(phone_number_sid)) = (account_sid, phone_number_sid) else {
        return Reading::Invalid("no AccountSid or PhoneNumberSid");
    };
    let Some(period) = text(data, "PeriodStart").and_then(|text| time::parse_date(&text)) else {
        return Reading::Invalid("no PeriodStart");
    };
    let price = match data.get("MonthlyPrice") {
        None | Some(Value::Null) => None,
        Some(value) => match value.as_str().and_then(parse_price) {
            Some(price) if price <= WALLET_MAX => Some(price),
            _ => return Reading::Invalid("MonthlyPrice is no price"),
        },
    };
    let Date { year, month, day } = period;
    Reading::Rental(RentalDue {
        account_sid,
        phone_number_sid,
        country: country.unwrap_or_default(),
        kind: kind.unwrap_or_default(),
        period_start: (year, month, day),
        price,
    })
}

/// An identifying name: a non-empty text in which nothing is or had to be replaced by U+FFFD.
fn identity(map: &Map<String, Value>, key: &str) -> Option<String> {
    let name = map.get(key)?.as_str()?;
    (!name.is_empty() && !name.contains(['\0', '\u{fffd}'])).then(|| name.to_owned())
}

/// A non-empty text, with U+FFFD instead of NUL.
fn text(map: &Map<String, Value>, key: &str) -> Option<String> {
    let text = map.get(key)?.as_str()?;
    (!text.is_empty()).then(|| text.replace('\0', "\u{fffd}"))
}

/// ASCII digits in a string, or a non-negative JSON integer.
fn whole_number(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) => {
            Some(text.parse().unwrap_or(u64::MAX))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
