//! Examples of the model's parsing.

use super::*;
use serde_json::json;

fn reading(payload: &[u8]) -> Reading {
    read(&Record {
        topic: Topic::Calls,
        partition: 0,
        offset: 0,
        timestamp_ms: 1_700_000_000_000,
        payload: Some(payload.to_vec()),
    })
}

fn flat(change: impl FnOnce(&mut Map<String, Value>)) -> Vec<u8> {
    let mut event = json!({
        "AccountSid": "AC1", "CallSid": "CA1", "CallStatus": "completed",
        "CallDuration": "61", "From": "+15005550001", "To": "+442071234567",
        "Direction": "outbound-api", "Timestamp": "Sun, 25 Mar 2018 09:53:19 +0000",
    });
    change(event.as_object_mut().expect("an object"));
    event.to_string().into_bytes()
}

fn completed(payload: &[u8]) -> CompletedCall {
    match reading(payload) {
        Reading::Completed(call) => call,
        other => panic!("not completed: {other:?}"),
    }
}

#[test]
fn the_model_takes_the_end_from_the_first_readable_of_four_instants() {
    let data = |timestamp: &str, parameters: &[u8]| {
        let parameters: Value = serde_json::from_slice(parameters).expect("JSON");
        json!({"timestamp": timestamp, "request": {"parameters": parameters}})
    };
    let event = |data: Value| {
        json!({"specversion": "1.0", "type": "com.twilio.voice.status-callback.call.completed",
               "time": "2020-01-01T00:00:00Z", "data": data})
        .to_string()
        .into_bytes()
    };
    let no_parameter = flat(|map| {
        map.insert("Timestamp".into(), json!("soon"));
    });
    let at = |text| time::parse_rfc3339(text).expect("an instant") - 61 * SECOND;
    let all = event(data("2019-01-01T00:00:00Z", &flat(|_| {})));
    assert_eq!(completed(&all).start, at("2018-03-25T09:53:19Z"));
    let second = event(data("2019-01-01T00:00:00Z", &no_parameter));
    assert_eq!(completed(&second).start, at("2019-01-01T00:00:00Z"));
    let third = event(Value::String(data("", &no_parameter).to_string()));
    assert_eq!(completed(&third).start, at("2020-01-01T00:00:00Z"));
    let last = flat(|map| {
        map.remove("Timestamp");
    });
    assert_eq!(completed(&last).start, at("2023-11-14T22:13:20Z"));
}

#[test]
fn the_model_reads_durations_as_digits_or_integers() {
    let with = |value: Value| flat(|map| drop(map.insert("CallDuration".into(), value)));
    for good in [json!("61"), json!(61), json!("0061")] {
        assert_eq!(completed(&with(good)).seconds, 61);
    }
    assert_eq!(completed(&with(json!(86_400))).seconds, 86_400);
    let bad = [
        json!("-1"),
        json!(-1),
        json!("1.5"),
        json!(1.5),
        json!(60.0),
        json!(""),
        json!(null),
        json!(" 60"),
        json!("+60"),
        json!(86_401),
        json!(true),
        json!(["60"]),
        json!("1e2"),
        json!("-0"),
        json!("61.0"),
        json!("99999999999999999999999999"),
    ];
    for value in bad {
        let reading = reading(&with(value.clone()));
        assert!(matches!(reading, Reading::Invalid(_)), "{value}: {reading:?}");
    }
}

#[test]
fn the_model_tells_a_callback_from_a_cloud_event() {
    let with = |key: &str, value: Value| flat(|map| drop(map.insert(key.into(), value)));
    for (key, value) in [("data", json!("x")), ("specversion", json!("1.0"))] {
        assert_eq!(completed(&with(key, value)).call_sid, "CA1");
    }
    let mut marked = b"\xef\xbb\xbf".to_vec();
    marked.extend(flat(|_| {}));
    assert_eq!(completed(&marked).call_sid, "CA1");
    let typed = json!({"type": "com.example.other", "data": "x", "CallSid": "CA1",
        "AccountSid": "AC1"});
    assert_eq!(reading(typed.to_string().as_bytes()), Reading::Skipped);
    for sid in ["CA\u{fffd}", "CA\0"] {
        assert!(matches!(reading(&with("CallSid", json!(sid))), Reading::Invalid(_)));
    }
}

#[test]
fn the_model_mends_lone_surrogates_and_nothing_else() {
    let cases = [
        (r"a\ud800b", r"a\ufffdb"),
        (r"\udc00\ud83d\ude00", r"\ufffd\ud83d\ude00"),
        (r"\ud83d\ud83d\ude00", r"\ufffd\ud83d\ude00"),
        (r"\\ud800", r"\\ud800"),
        (r"\\\ud800", r"\\\ufffd"),
        (r"\ud800", r"\ufffd"),
        ("ü\\n\\u00e3", "ü\\n\\u00e3"),
    ];
    for (text, mended) in cases {
        assert_eq!(mend_surrogates(text), mended);
    }
    let payload = String::from_utf8(flat(|_| {})).expect("UTF-8");
    let lone = payload.replace("+15005550001", r"client:\ud800\u0000");
    assert_eq!(completed(lone.as_bytes()).from.as_deref(), Some("client:\u{fffd}\u{fffd}"));
    let mut latin = payload.into_bytes();
    let plus = latin.iter().position(|byte| *byte == b'+').expect("a number");
    latin[plus] = 0xe9;
    assert!(completed(&latin).from.is_some_and(|from| from.starts_with('\u{fffd}')));
}

#[test]
fn the_model_tells_rejected_records_from_free_ones() {
    let status = |status: Value| flat(|map| drop(map.insert("CallStatus".into(), status)));
    assert_eq!(reading(&status(json!("busy"))), Reading::NotBillable);
    assert!(matches!(reading(&status(json!("ended"))), Reading::Invalid(_)));
    assert!(matches!(reading(&status(json!(7))), Reading::Invalid(_)));
    for garbage in [&b""[..], b"null", b"[]", b"{", b"\xff{}", b"7", b"\"completed\""] {
        assert_eq!(reading(garbage), Reading::Undecodable);
    }
    assert!(matches!(reading(b"{}"), Reading::Invalid(_)));
    let other = json!({"specversion": "1.0", "type": "com.twilio.messaging.message.sent"});
    assert_eq!(reading(other.to_string().as_bytes()), Reading::Skipped);
    let late = |end: &str| flat(|map| drop(map.insert("Timestamp".into(), json!(end))));
    let just = late("Wed, 15 Nov 2023 22:13:20 +0000");
    assert!(matches!(reading(&just), Reading::Completed(_)), "24 hours ahead exactly");
    assert!(matches!(reading(&late("Wed, 15 Nov 2023 22:13:21 +0000")), Reading::Invalid(_)));
}

#[test]
fn the_model_reads_rentals() {
    let rental = |price: Value| {
        let data = json!({"AccountSid": "AC1", "PhoneNumberSid": "PN1", "IsoCountry": "US",
            "PhoneNumber": "+15005550006", "NumberType": "local",
            "PeriodStart": "2026-01-31", "MonthlyPrice": price});
        let event = json!({"specversion": "1.0", "type": RENTAL_EVENT, "data": data});
        read(&Record {
            topic: Topic::Rentals,
            partition: 0,
            offset: 0,
            timestamp_ms: 0,
            payload: Some(event.to_string().into_bytes()),
        })
    };
    for (price, expected) in [(json!("1.15"), Some(1_150_000)), (json!(null), None)] {
        let Reading::Rental(due) = rental(price) else { panic!("no rental") };
        assert_eq!((due.price, due.period_start), (expected, (2026, 1, 31)));
    }
    assert!(matches!(rental(json!("-1.15")), Reading::Invalid(_)));
    assert!(matches!(rental(json!("1.1234567")), Reading::Invalid(_)));
}
