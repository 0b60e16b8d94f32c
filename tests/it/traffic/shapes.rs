//! The shapes of one call's events: Twilio's callbacks, and either family of its cloud events, with
//! `data` as an object or as text.

use super::Dice;
use crate::model::time::{At, HOUR, SECOND, rfc2822, rfc3339};
use serde_json::{Map, Value, json};

/// Placeholder of a lone surrogate until the JSON is text.
const LONE_SURROGATE: &str = "@@lone surrogate@@";

/// Placeholder of a Latin-1 byte.
const LATIN_1: &str = "@@latin 1@@";

/// One generated call.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) account_sid: String,
    pub(crate) sid: String,
    pub(crate) parent_call_sid: Option<String>,
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) direction: &'static str,
    pub(crate) seconds: i64,
    pub(crate) end: At,
}

/// An event as text, and the Kafka timestamp it must have if it contains no time itself.
pub(crate) struct Told {
    pub(crate) payload: Vec<u8>,
    pub(crate) timestamp_ms: Option<i64>,
}

/// Where the event contains the end of the call.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Instant {
    Parameter,
    Data,
    Envelope,
    Kafka,
}

/// Renders a call's status in a random shape.
pub(crate) fn tell(call: &Call, status: &str, dice: &mut Dice, now: At) -> Told {
    let flat = dice.chance(35);
    let instant = choose_instant(call, flat, dice, now);
    let parameters = parameters(call, status, instant, dice);
    let timestamp_ms = (instant == Instant::Kafka).then_some(call.end / 1_000);
    let payload = if flat {
        odd_spelling(&text(&Value::Object(parameters)), dice)
    } else {
        text(&cloud_event(call, status, &parameters, instant, dice))
    };
    Told { payload: with_latin_1(payload), timestamp_ms }
}

fn choose_instant(call: &Call, flat: bool, dice: &mut Dice, now: At) -> Instant {
    let whole_second = call.end % SECOND == 0;
    let kafka_takes_it = call.end <= now;
    let choices = [
        (whole_second, Instant::Parameter),
        (whole_second, Instant::Parameter),
        (!flat, Instant::Data),
        (!flat, Instant::Envelope),
        (kafka_takes_it, Instant::Kafka),
    ];
    let possible: Vec<Instant> =
        choices.iter().filter(|(possible, _)| *possible).map(|(_, instant)| *instant).collect();
    // The end of a flat event in the near future, with a fraction of a second, fits nowhere else.
    if possible.is_empty() { Instant::Parameter } else { possible[dice.below(possible.len())] }
}

/// The parameters of a status callback, with Twilio's additions and some of its errors.
pub(crate) fn flat_parameters(call: &Call, status: &str, dice: &mut Dice) -> Map<String, Value> {
    parameters(call, status, Instant::Parameter, dice)
}

fn parameters(call: &Call, status: &str, instant: Instant, dice: &mut Dice) -> Map<String, Value> {
    let mut map = Map::new();
    let mut put = |key: &str, value: Value| drop(map.insert(key.to_owned(), value));
    put("AccountSid", json!(call.account_sid));
    put("CallSid", json!(call.sid));
    put("CallStatus", json!(status));
    put("ApiVersion", json!("2010-04-01"));
    put("From", json!(call.from));
    put("To", json!(call.to));
    put("Caller", json!(call.from));
    put("Called", json!(call.to));
    put("Direction", json!(call.direction));
    put("CallbackSource", json!("call-progress-events"));
    match &call.parent_call_sid {
        Some(parent) => put("ParentCallSid", json!(parent)),
        None if dice.chance(4) => put("ParentCallSid", json!("")),
        None => {}
    }
    if status == "completed" {
        let as_text = dice.chance(70);
        put(
            "CallDuration",
            if as_text { json!(call.seconds.to_string()) } else { json!(call.seconds) },
        );
        let minutes = (call.seconds + 59) / 60;
        match dice.below(20) {
            0 => put("Duration", json!("garbage")),
            1 => put("Duration", json!(minutes + 1)),
            2 => put("Duration", Value::Null),
            3..6 => {}
            _ => put("Duration", json!(minutes.to_string())),
        }
    }
    match dice.below(30) {
        0 => put("FromCity", json!(format!("S\u{e3}o {LONE_SURROGATE}"))),
        1 => put("ToCity", json!("a\u{0}b")),
        5 => put("ToCity", json!(format!("Montr{LATIN_1}al"))),
        2 => put("FromZip", json!(10_004)),
        3 => put("ToState", json!(["SP", {"nested": null}])),
        4 => put("ToCity", json!("x".repeat(20_000))),
        _ => put("FromCity", json!("")),
    }
    if dice.chance(60) {
        let number = dice.below(9);
        put("SequenceNumber", if number == 8 { json!("?") } else { json!(number.to_string()) });
    }
    match instant {
        Instant::Parameter => {
            put("Timestamp", json!(rfc2822(call.end, *dice.pick(&[0, 0, 0, -330, 120]))));
        }
        _ if dice.chance(50) => {
            put("Timestamp", json!(*dice.pick(&["", "yesterday", "1521971599"])));
        }
        _ => {}
    }
    map
}

/// The envelope, with misleading times wherever a time of higher rank is present.
fn cloud_event(
    call: &Call,
    status: &str,
    parameters: &Map<String, Value>,
    instant: Instant,
    dice: &mut Dice,
) -> Value {
    let misleading = rfc3339(call.end - 5_000 * HOUR);
    let mut data = json!({
        "sid": call.sid,
        "eventSid": format!("VW{:032x}", dice.number()),
        "request": {"method": "POST", "url": "https://example.com/status", "parameters": parameters},
        "response": {"responseCode": 204, "responseBody": ""},
    });
    let data_timestamp = match instant {
        Instant::Parameter => misleading.clone(),
        Instant::Data => rfc3339(call.end),
        _ => "2026-13-45T99:00:00Z".to_owned(),
    };
    if instant != Instant::Kafka || dice.chance(50) {
        data["timestamp"] = json!(data_timestamp);
    }
    let family = if dice.chance(30) { "webhook." } else { "" };
    let mut event = json!({
        "specversion": "1.0",
        "type": format!("com.twilio.voice.{family}status-callback.call.{status}"),
        "source": "/2010-04-01/Accounts/x/Calls/y.json",
        "id": format!("EZ{:032x}", dice.number()),
        "datacontenttype": *dice.pick(&["application/json", "2025-10-08T07:17:02.363Z"]),
    });
    match instant {
        Instant::Envelope => event["time"] = json!(rfc3339(call.end)),
        Instant::Kafka => {}
        _ => event["time"] = json!(misleading),
    }
    event["data"] = if dice.chance(35) { json!(text(&data)) } else { data };
    event
}

/// JSON text with the lone surrogates inserted.
pub(crate) fn text(value: &Value) -> String {
    value.to_string().replace(LONE_SURROGATE, "\\ud83d")
}

/// The same object, sometimes with a repeated key, an escaped key, or white space around.
fn odd_spelling(text: &str, dice: &mut Dice) -> String {
    match dice.below(25) {
        0 => text.replacen('{', "{\"CallDuration\":\"7777\",\"From\":\"+1999\",", 1),
        1 => text.replacen("\"CallSid\"", "\"\\u0043allSid\"", 1),
        2 => format!(" \r\n\t{text}\n"),
        _ => text.to_owned(),
    }
}

/// The text as bytes; the placeholder becomes a byte that is not valid UTF-8.
fn with_latin_1(text: String) -> Vec<u8> {
    let mut bytes = text.into_bytes();
    let mark = bytes.windows(LATIN_1.len()).position(|part| part == LATIN_1.as_bytes());
    if let Some(mark) = mark {
        bytes.splice(mark..mark + LATIN_1.len(), [0xe9]);
    }
    bytes
}

/// One party of a call: sometimes not a number, sometimes text that breaks databases.
pub(crate) fn end_point(dice: &mut Dice) -> String {
    let prefix = *dice.pick(&super::world::PREFIXES);
    let digits = 10_000_000 + dice.below(89_999_999);
    match dice.below(40) {
        0 => format!("client:agent-{digits}"),
        1 => format!("sip:{digits}@example.com"),
        2 => "anonymous".to_owned(),
        3 => format!("{prefix}{digits}\u{0}"),
        4 => format!("client:{LONE_SURROGATE}{digits}"),
        5 => String::new(),
        6 => format!("+999{digits}"),
        _ => format!("{prefix}{digits}"),
    }
}
