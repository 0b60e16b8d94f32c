//! A table of both shapes with every oddity: the decoded event and the values that are charged.

use super::*;

const RECORD_AT: &str = "2026-11-20T12:00:00Z";

fn decoded(json: &str) -> Event {
    let record_at = instants::parse(RECORD_AT).unwrap();
    let limits = Limits { call_seconds_max: 86_400, end_ahead_seconds_max: 86_400 };
    decode(Topic::Calls, json.as_bytes(), record_at, limits)
}

/// A record in a few words: `charged SID seconds end`, `signal`, `skipped` or the rejection.
fn told(event: &Event) -> String {
    match event {
        Event::CallEnded(ended) => format!(
            "charged {} {} s, ended {}",
            ended.call.call_sid,
            ended.call.seconds,
            ended.call.ended_at.format("%F %T")
        ),
        Event::CallSignalled(signal) => format!("signal {}", signal.status.as_str()),
        Event::Skipped => "skipped".to_owned(),
        Event::RentalDue(_) => "rental".to_owned(),
        Event::Rejected(rejection) => {
            format!("{}: {}", rejection.reason.as_str(), rejection.detail)
        }
    }
}

#[track_caller]
fn check(json: &str, expected: &str) {
    let found = told(&decoded(json));
    assert!(found.starts_with(expected), "{json}\n  is      {found}\n  and not {expected}");
}

/// The flat parameters of a completed call, preceded by `changes` (the last key wins).
fn flat(changes: &str) -> String {
    format!(
        r#"{{"CallSid":"CA1","AccountSid":"AC1","CallStatus":"completed","CallDuration":"49",
            "Timestamp":"Fri, 20 Nov 2026 11:00:00 +0000","From":"+1","To":"+2"{changes}}}"#
    )
}

#[test]
fn both_shapes_give_the_same_call() {
    let expected = "charged CA1 49 s, ended 2026-11-20 11:00:00";
    check(&flat(""), expected);
    for kind in [
        "com.twilio.voice.status-callback.call.completed",
        "com.twilio.voice.webhook.status-callback.call.completed",
    ] {
        let data = format!(r#"{{"request":{{"parameters":{}}}}}"#, flat(""));
        let quoted = serde_json::to_string(&data).unwrap();
        for data in [data, quoted] {
            let event = format!(
                r#"{{"specversion":"1.0","type":"{kind}","datacontenttype":"2025-10-08","data":{data}}}"#
            );
            check(&event, expected);
        }
    }
}

#[test]
fn the_end_is_the_first_instant_that_can_be_read() {
    let event = |timestamp: &str, data_timestamp: &str, time: &str| {
        let parameters = flat(&format!(r#","Timestamp":"{timestamp}""#));
        format!(
            r#"{{"type":"com.twilio.voice.status-callback.call.completed","time":"{time}",
                "data":{{"timestamp":"{data_timestamp}","request":{{"parameters":{parameters}}}}}}}"#
        )
    };
    let (rfc, two, three) =
        ("Fri, 20 Nov 2026 01:00:00 +0000", "2026-11-20T02:00:00Z", "2026-11-20T03:00:00Z");
    check(&event(rfc, two, three), "charged CA1 49 s, ended 2026-11-20 01:00:00");
    check(&event("soon", two, three), "charged CA1 49 s, ended 2026-11-20 02:00:00");
    check(&event("", "later", three), "charged CA1 49 s, ended 2026-11-20 03:00:00");
    check(&event("", "", ""), "charged CA1 49 s, ended 2026-11-20 12:00:00");
}

#[test]
fn an_end_may_lie_anywhere_in_the_past_and_a_day_ahead() {
    let at = |timestamp: &str| flat(&format!(r#","Timestamp":"{timestamp}""#));
    check(&at("Sat, 21 Nov 2026 12:00:00 +0000"), "charged");
    check(&at("Sat, 21 Nov 2026 12:00:01 +0000"), "invalid: the call ends at");
    check(&at("Sun, 25 Mar 2018 09:53:19 +0000"), "charged CA1 49 s, ended 2018-03-25 09:53:19");
}

#[test]
fn a_duration_is_a_whole_number_of_seconds_up_to_a_day() {
    let lasting = |duration: &str| flat(&format!(r#","CallDuration":{duration}"#));
    check(&lasting("49"), "charged CA1 49 s");
    check(&lasting(r#""007""#), "charged CA1 7 s");
    check(&lasting("0"), "charged CA1 0 s");
    check(&lasting("86400"), "charged CA1 86400 s");
    check(&lasting("86401"), "invalid: CallDuration is 86401, not between 0 and 86400");
    check(&lasting("-1"), "invalid: CallDuration is -1");
    for text in ["-1", "-0", "+49", " 49", "49 ", "49.0", "49.5", "4e1", "0x31", "٤٩"] {
        let expected = format!("invalid: CallDuration is not a whole number: {text:?}");
        check(&lasting(&format!("\"{text}\"")), &expected);
    }
    for number in ["49.0", "49.5", "4.9e1", "-0"] {
        check(&lasting(number), "invalid: CallDuration is not a whole number");
    }
    check(&lasting(&format!("\"{}49\"", "0".repeat(60))), "charged CA1 49 s");
    check(&lasting(r#""000""#), "charged CA1 0 s");
    check(&lasting("99999999999999999999999999"), "invalid: CallDuration is not a whole number");
    check(&lasting(r#""99999999999999999999""#), "invalid: CallDuration is 99999999999999999999");
    check(&lasting("true"), "invalid: CallDuration is not a whole number");
    check(&lasting("null"), "invalid: CallDuration is missing");
    check(&lasting(r#""""#), "invalid: CallDuration is missing");
}

#[test]
fn every_other_status_is_a_signal_and_an_unknown_one_is_kept() {
    for status in
        ["queued", "initiated", "ringing", "in-progress", "busy", "failed", "no-answer", "canceled"]
    {
        check(&flat(&format!(r#","CallStatus":"{status}""#)), &format!("signal {status}"));
    }
    check(&flat(r#","CallStatus":"the deets""#), "invalid: CallStatus is unknown: \"the deets\"");
    check(&flat(r#","CallStatus":"""#), "invalid: CallStatus is missing");
    check(r#"{"CallStatus":"busy"}"#, "signal busy");
}

#[test]
fn a_callback_may_carry_parameters_of_any_name() {
    let expected = "charged CA1 49 s, ended 2026-11-20 11:00:00";
    for extra in [
        r#","data":"x""#,
        r#","data":{"request":{"parameters":{"CallSid":"CA2"}}}"#,
        r#","specversion":"1.0""#,
        r#","specversion":"1.0","data":7,"type":null"#,
        r#","time":"2026-11-20T01:00:00Z""#,
        r#","type":"mine""#,
    ] {
        check(&flat(extra), expected);
    }
    check(&flat(r#","type":"mine","data":"x""#), "skipped");
    check(&flat(r#","data":"x","CallSid":"""#), "invalid: type of the CloudEvent is missing");
    assert_eq!(
        account_sid(flat(r#","data":"x""#).as_bytes()).map(|it| it.to_string()).as_deref(),
        Some("AC1")
    );
}

#[test]
fn a_byte_order_mark_is_no_part_of_a_record() {
    let marked = format!("\u{feff}{}", flat(""));
    check(&marked, "charged CA1 49 s");
    assert!(account_sid(marked.as_bytes()).is_some());
    check(&format!("\u{feff}\u{feff}{}", flat("")), "undecodable");
}

#[test]
fn an_id_that_had_to_be_mended_is_no_id() {
    for (name, sid) in
        [("CallSid", r"CA\ud800"), ("CallSid", "CA\u{fffd}"), ("AccountSid", r"\udc00")]
    {
        let event = flat(&format!(r#","{name}":"{sid}""#));
        check(&event, &format!("invalid: {name} is no valid text"));
        let signal = flat(&format!(r#","CallStatus":"busy","{name}":"{sid}""#));
        let Event::CallSignalled(signal) = decoded(&signal) else { panic!("no signal") };
        assert_eq!(signal.call_sid.is_none(), name == "CallSid");
        assert_eq!(signal.twilio_account_sid.is_none(), name == "AccountSid");
    }
    assert_eq!(account_sid(flat(r#","AccountSid":"AC\ud800""#).as_bytes()), None);
}

#[test]
fn what_is_no_call_is_skipped_or_kept() {
    check(
        r#"{"specversion":"1.0","type":"com.twilio.messaging.message.sent","data":{}}"#,
        "skipped",
    );
    check(r#"{"specversion":"1.0","data":{}}"#, "invalid: type of the CloudEvent is missing");
    let completed = r#""type":"com.twilio.voice.status-callback.call.completed""#;
    check(&format!("{{{completed},\"data\":7}}"), "invalid: data is no object");
    check(&format!("{{\"specversion\":\"1.0\",{completed}}}"), "invalid: data is no object");
    check(&format!("{{{completed},\"data\":\"not json\"}}"), "undecodable: data is a string");
    check(&format!("{{{completed},\"data\":\"{{oops\"}}"), "undecodable: data is no JSON object");
    let familiar = r#""data":{"request":{"parameters":["x"]}}"#;
    check(&format!("{{{completed},{familiar}}}"), "invalid: data cannot be read");
    check(&format!(r#"{{"specversion":"1.0","type":"com.twilio.other",{familiar}}}"#), "skipped");
    check(
        &format!("{{{completed},\"data\":{{\"request\":{{\"parameters\":{{}}}}}}}}"),
        "invalid: CallStatus",
    );
    for garbage in ["", "null", "[]", "7", "{", "\"text\"", "{\"CallSid\":\"CA1\"", "\u{0}"] {
        check(garbage, "undecodable: not a JSON object");
    }
    check("{}", "invalid: CallStatus is missing");
    check(&flat(r#","AccountSid":null"#), "invalid: AccountSid is missing");
    check(&flat(r#","CallSid":"""#), "invalid: CallSid is missing");
    check(&flat(r#","CallSid":"a\u0000b""#), "invalid: the");
    for (bytes, expected) in
        [(64, "charged"), (65, "invalid: the call SID has 65 bytes, more than")]
    {
        check(&flat(&format!(r#","CallSid":"{}""#, "x".repeat(bytes))), expected);
    }
}

#[test]
fn an_odd_text_in_a_number_or_a_name_refuses_no_charge() {
    let Event::CallEnded(ended) =
        decoded(&flat(r#","To":"a\u0000b\ud800","ToCity":"\udc00","From":7"#))
    else {
        panic!("not charged")
    };
    assert_eq!(ended.call.to.as_deref(), Some("a\u{fffd}b\u{fffd}"));
    assert_eq!(ended.call.from, None);
    let held = serde_json::to_string(&format!(
        r#"{{"request":{{"parameters":{}}}}}"#,
        flat(r#","To":"a\ud800""#)
    ))
    .unwrap();
    let event =
        format!(r#"{{"type":"com.twilio.voice.status-callback.call.completed","data":{held}}}"#);
    let Event::CallEnded(ended) = decoded(&event) else { panic!("not charged") };
    assert_eq!(ended.call.to.as_deref(), Some("a\u{fffd}"));
    let long = format!(r#","To":"{}""#, "é".repeat(1_000));
    let Event::CallEnded(ended) = decoded(&flat(&long)) else { panic!("not charged") };
    assert_eq!(ended.call.to.map(|to| to.chars().count()), Some(256));
}

#[test]
fn a_reduced_record_comes_to_the_same_and_is_short() {
    let kind = "com.twilio.voice.status-callback.call.completed";
    let event = |data: &str| {
        format!(
            r#"{{"specversion":"1.0","type":"{kind}","time":"2026-11-20T03:00:00Z",
            "tag":"sink","data":{data}}}"#
        )
    };
    let held = |parameters: &str| {
        format!(
            r#"{{"timestamp":"2026-11-20T02:00:00Z","request":{{"url":"https://h/?tag=call",
            "parameters":{parameters}}}}}"#
        )
    };
    let long = "x".repeat(1_000);
    let records = [
        flat(""),
        flat(&format!(r#","Timestamp":"x","tag":"{long}","Direction":"inbound","Duration":"1""#)),
        flat(r#","From":"a\u0000b\ud800","ParentCallSid":"CA2","CallDuration":49"#),
        flat(&format!(r#","From":"{long}","To":"{long}""#)),
        flat(&format!(r#","CallSid":"{}""#, &long[..200])),
        flat(r#","CallDuration":1.5"#),
        flat(r#","CallDuration":null"#),
        flat(r#","CallStatus":"ringing""#),
        flat(r#","CallStatus":"the deets""#),
        event(&held(&flat(r#","Timestamp":"""#))),
        event(&serde_json::to_string(&held(&flat(r#","tag":"own""#))).unwrap()),
        event("7"),
        event("").replace(kind, "com.twilio.other").replace(r#""data":"#, r#""data":{}"#),
        r#"{"type":"com.twilio.other","data":{}}"#.to_owned(),
        r#"{"specversion":"1.0"}"#.to_owned(),
    ];
    for record in records {
        let whole = record.replacen('{', &format!(r#"{{"blob":"{}","#, "x".repeat(5_000)), 1);
        let reduced = String::from_utf8(reduced(whole.as_bytes())).unwrap();
        assert_eq!(decoded(&reduced), decoded(&whole), "{record}\n{reduced}");
        assert_eq!(account_sid(reduced.as_bytes()), account_sid(whole.as_bytes()));
        assert!(reduced.len() < 1_500, "{reduced}");
        assert!(reduced.contains(&format!(r#""bytes":{}"#, whole.len())), "{reduced}");
    }
    for unreadable in ["", "[1]", r#"{"CallSid":"CA1","#] {
        let reduced = String::from_utf8(reduced(unreadable.as_bytes())).unwrap();
        check(&reduced, "invalid: CallStatus is missing");
        assert!(reduced.contains("sha256"), "{reduced}");
    }
}
