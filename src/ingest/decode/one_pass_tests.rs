//! Records read in one pass and in full: no record of any form may be read otherwise.

use std::cell::Cell;

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use super::call::{self, Told};
use super::one_pass::Usual;

/// Parameters as Twilio sends them, a parameter of every name that charging reads among them.
const PARAMETERS: &str = r#"{"Called":"+5511555500112","ToCity":"S\u00e3o \"Paulo\"","ToState":"São","CallSid":"CA01","AccountSid":"AC01","ParentCallSid":"CA00","CallStatus":"completed","Duration":"1","CallDuration":"49","Direction":"outbound-api","From":"+16465550101","To":"client:Zoë","Timestamp":"Sun, 25 Mar 2018 09:53:19 +0000","tag":"","SequenceNumber":3,"FromZip":null}"#;

/// What records are changed by: each ends as a member does, so that many still are JSON.
const PIECES: [&str; 72] = [
    r#""CallSid":"CA02","#,
    r#""CallSid":"","#,
    r#""\u0043allSid":"CA03","#,
    r#""AccountSid":null,"#,
    r#""CallStatus":"busy","#,
    r#""CallStatus":"odd","#,
    r#""CallDuration":61,"#,
    r#""CallDuration":-1,"#,
    r#""CallDuration":1.0,"#,
    r#""CallDuration":1e2,"#,
    r#""CallDuration":01,"#,
    r#""CallDuration":999999999999999999,"#,
    r#""CallDuration":18446744073709551616,"#,
    r#""CallDuration":true,"#,
    r#""CallDuration":{},"#,
    r#""From":"a\u0000b","#,
    r#""From":"\ud800","#,
    r#""From":"\ud83d\ude00","#,
    r#""FromCity":"\ud800","#,
    r#""FromCity":"\x","#,
    r#""FromCity":"\u12g4","#,
    r#""FromCity":"\\\/\b\f\n\r\t","#,
    r#""FromCity":["a",{"b":[]}],"#,
    r#""FromCity":{"a":{"b":1,"c":"}"},"d":{}},"#,
    r#""FromCity":{"":{"":{"":{"":{"":{"":{"":{"":{"":{}}}}}}}}}},"#,
    r#""FromCity":-0.5,"#,
    r#""FromCity":12 ,"#,
    r#""FromCity":00,"#,
    r#""FromCity":false,"#,
    r#""FromCity":nul,"#,
    r#""":"","#,
    r#""tag":"own","#,
    r#""url":"https://h/?a=1&tag=url#x","#,
    r#""url":null,"#,
    r#""type":"com.twilio.voice.status-callback.call.initiated","#,
    r#""type":"com.twilio.other","#,
    r#""type":"","#,
    r#""type":null,"#,
    r#""specversion":null,"#,
    r#""specversion":1,"#,
    r#""time":"2026-11-20T01:00:00Z","#,
    r#""timestamp":"2026-11-20T02:00:00Z","#,
    r#""Timestamp":"","#,
    r#""data":{},"#,
    r#""data":null,"#,
    r#""data":"{}","#,
    r#""data":"","#,
    r#""data":7,"#,
    r#""request":{},"#,
    r#""request":null,"#,
    r#""request":{"parameters":{"CallStatus":"busy"}},"#,
    r#""parameters":{},"#,
    r#""parameters":[],"#,
    r#"\"CallSid\":\"CA04\","#,
    r#"\"CallDuration\":\"61\","#,
    r#"\"request\":{},"#,
    r#"\\\""#,
    r"\\u00e3",
    r"\\ud800",
    r"\\\\",
    r"\u0022",
    r#"\""#,
    r"\n",
    r"\",
    "\"",
    " ",
    "\n\t\r",
    "\u{1}",
    "\u{feff}",
    "\u{e9}\u{1f600}",
    "{",
    "}",
];

/// A change of a record's bytes.
#[derive(Clone, Debug)]
enum Change {
    /// A piece where a member may begin.
    Put(Index, Index),
    /// So many bytes of the record itself, from one such place to another.
    Repeat(Index, Index, usize),
    /// So many bytes from there are gone.
    Drop(Index, usize),
    /// So many bytes from there change places with those that follow.
    Turn(Index, usize, usize),
    Byte(Index, u8),
    End(Index),
}

fn change() -> impl Strategy<Value = Change> {
    let place = any::<Index>;
    prop_oneof![
        12 => (place(), place()).prop_map(|(at, piece)| Change::Put(at, piece)),
        2 => (place(), place(), 0..90_usize).prop_map(|(at, of, size)| Change::Repeat(at, of, size)),
        1 => (place(), 0..40_usize).prop_map(|(at, size)| Change::Drop(at, size)),
        1 => (place(), 0..40_usize, 0..40_usize).prop_map(|(at, a, b)| Change::Turn(at, a, b)),
        1 => (place(), any::<u8>()).prop_map(|(at, byte)| Change::Byte(at, byte)),
        1 => place().prop_map(Change::End),
    ]
}

/// A place where a member may begin.
fn member_at(record: &[u8], at: Index) -> usize {
    let at = at.index(record.len() + 1);
    let before = record[at..].iter().position(|byte| b"{,".contains(byte));
    before.map_or(at, |before| at + before + 1)
}

fn make(record: &mut Vec<u8>, change: &Change) {
    let bounded = |at: usize, size: usize| at..(at + size).min(record.len());
    match *change {
        Change::Put(at, piece) => {
            let at = member_at(record, at);
            record.splice(at..at, PIECES[piece.index(PIECES.len())].bytes());
        }
        Change::Repeat(at, of, size) => {
            let part = record[bounded(member_at(record, of), size)].to_vec();
            let at = member_at(record, at);
            record.splice(at..at, part);
        }
        Change::Drop(at, size) => drop(record.drain(bounded(member_at(record, at), size))),
        Change::Turn(at, first, second) => {
            let part = bounded(member_at(record, at), first + second);
            let turned = &mut record[part];
            turned.rotate_left(first.min(turned.len()));
        }
        Change::Byte(at, byte) if !record.is_empty() => {
            let at = at.index(record.len());
            record[at] = byte;
        }
        Change::Byte(..) => {}
        Change::End(at) => record.truncate(at.index(record.len() + 1)),
    }
}

/// How Twilio sends a call's parameters.
#[derive(Clone, Copy, Debug)]
enum Shape {
    Callback,
    Event,
    EventWithText,
}

const SHAPES: [Shape; 3] = [Shape::Callback, Shape::Event, Shape::EventWithText];

/// The object of a shape that holds the parameters.
fn object(shape: Shape) -> Vec<u8> {
    match shape {
        Shape::Callback => PARAMETERS.to_owned(),
        Shape::Event | Shape::EventWithText => format!(
            r#"{{"sid":"CA01","timestamp":"2018-03-25T09:53:18Z","request":{{"url":"https://h/?tag=1",
"parameters":{PARAMETERS},"method":"POST"}},"response":{{"responseCode":204,"body":""}}}}"#
        )
        .replace('\n', ""),
    }
    .into_bytes()
}

/// The record of a shape, around its object.
fn around(shape: Shape, object: Vec<u8>) -> Vec<u8> {
    let object = match shape {
        Shape::Callback => return object,
        Shape::Event => object,
        Shape::EventWithText => held(&object),
    };
    let head = r#"{"specversion":"1.0","type":"com.twilio.voice.status-callback.call.completed","tag":"sink","time":"2018-03-25T09:53:17Z","data":"#;
    [head.as_bytes(), &object, br#","id":"EZ1"}"#].concat()
}

/// A record whose object is changed before the rest is.
fn changed(shape: Shape, inner: &[Change], outer: &[Change]) -> Vec<u8> {
    let mut object = object(shape);
    for change in inner {
        make(&mut object, change);
    }
    let mut record = around(shape, object);
    for change in outer {
        make(&mut record, change);
    }
    record
}

/// The JSON string of a text; other bytes stay, also those that no string may have.
fn held(text: &[u8]) -> Vec<u8> {
    let mut string = vec![b'"'];
    for &byte in text {
        string.extend(if b"\"\\".contains(&byte) { &b"\\"[..] } else { b"" });
        string.push(byte);
    }
    string.push(b'"');
    string
}

fn is_usual(record: &[u8]) -> bool {
    Usual::default().read(record, call::is_call).is_some()
}

/// The record as it is read, and as it is read in full.
fn readings(record: &[u8]) -> [String; 2] {
    let take = |told: &Told<'_>| format!("{told:?}");
    [format!("{:?}", call::read(record, take)), format!("{:?}", call::read_in_full(record, take))]
}

#[test]
fn records_as_twilio_sends_them_are_read_in_one_pass() {
    for shape in SHAPES {
        let plain = around(shape, object(shape));
        let text = String::from_utf8_lossy(&plain).into_owned();
        assert!(is_usual(&plain), "{text}");
        let [found, expected] = readings(&plain);
        assert_eq!(found, expected, "{text}");
        assert!(found.contains("+16465550101"), "{found}");
    }
    let spaced = PARAMETERS.replace("\",\"", "\" ,\r\n\t\"").replace("\":", "\" : ");
    assert!(is_usual(format!(" {spaced}\n").as_bytes()));
}

#[test]
fn a_member_more_at_any_place_is_read_as_it_is_read_in_full() {
    let places = |text: &[u8]| {
        let begins = |at: &usize| b"{,".contains(&text[at - 1]);
        (1..text.len()).filter(begins).collect::<Vec<_>>()
    };
    let with =
        |text: &[u8], at: usize, piece: &str| [&text[..at], piece.as_bytes(), &text[at..]].concat();
    for (shape, piece) in SHAPES.into_iter().flat_map(|shape| PIECES.map(|piece| (shape, piece))) {
        let object = object(shape);
        let record = around(shape, object.clone());
        let inner = places(&object).into_iter().map(|at| around(shape, with(&object, at, piece)));
        let outer = places(&record).into_iter().map(|at| with(&record, at, piece));
        for record in inner.chain(outer) {
            let [found, expected] = readings(&record);
            assert_eq!(found, expected, "{}", String::from_utf8_lossy(&record));
        }
    }
}

#[test]
fn a_changed_record_is_read_as_it_is_read_in_full() {
    let shape = prop::sample::select(&SHAPES[..]);
    let changes = || prop::collection::vec(change(), 0..3);
    let usual = Cell::new(0);
    let mut runner = TestRunner::new(Config { cases: 2_000, ..Config::with_source_file(file!()) });
    let outcome = runner.run(&(shape, changes(), changes()), |(shape, inner, outer)| {
        let record = changed(shape, &inner, &outer);
        let [found, expected] = readings(&record);
        prop_assert_eq!(found, expected, "{}", String::from_utf8_lossy(&record));
        let is_changed = !inner.is_empty() || !outer.is_empty();
        usual.set(usual.get() + i32::from(is_changed && is_usual(&record)));
        Ok::<(), TestCaseError>(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
    assert!(usual.get() > 100, "only {} changed records were read in one pass", usual.get());
}
