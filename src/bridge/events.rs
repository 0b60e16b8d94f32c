//! The events of an Event Streams sink: an array, of which each event becomes one record, byte for
//! byte.

use serde_json::value::RawValue;

/// Splits a body into its events. A body that is not a JSON array is one record, so that it is kept
/// for inspection.
///
/// Never rewrites the bytes of an event: numbers, escapes and text that is not UTF-8 stay.
pub(super) fn split(body: &[u8]) -> Vec<&[u8]> {
    // JSON has bytes beyond ASCII only in strings, and they may not be UTF-8. An ASCII copy of the
    // same length shows where the events begin and end.
    let ascii: Vec<u8> =
        body.iter().map(|byte| if byte.is_ascii() { *byte } else { b'?' }).collect();
    let Ok(text) = str::from_utf8(&ascii) else { return vec![body] };
    let Ok(events) = serde_json::from_str::<Vec<&RawValue>>(text) else { return vec![body] };
    let start = text.as_ptr() as usize;
    let place = |event: &RawValue| {
        let at = event.get().as_ptr() as usize - start;
        &body[at..at + event.get().len()]
    };
    events.into_iter().map(place).collect()
}

/// An event with the tag of the sink's address; a tag of its own wins.
pub(super) fn tagged(event: &[u8], tag: Option<&str>) -> Vec<u8> {
    let (Some(tag), Some(b'{')) = (tag, event.first()) else { return event.to_vec() };
    let is_empty = event[1..].trim_ascii_start().starts_with(b"}");
    let comma = if is_empty { "" } else { "," };
    let member = format!("{{\"tag\":{}{comma}", serde_json::Value::from(tag));
    [member.as_bytes(), &event[1..]].concat()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(body: &[u8], expected: &[&[u8]]) {
        assert_eq!(split(body), expected, "{}", String::from_utf8_lossy(body));
    }

    #[test]
    fn each_event_keeps_its_bytes() {
        check(br#"[{"a":1.0e2},{"b":"\ud800"}]"#, &[br#"{"a":1.0e2}"#, br#"{"b":"\ud800"}"#]);
        check(b" [ {\"a\" : \"]},\\\"\"} ,7, null ] ", &[b"{\"a\" : \"]},\\\"\"}", b"7", b"null"]);
        check(b"[{\"a\":\"\xff\xc3\"},{}]", &[b"{\"a\":\"\xff\xc3\"}", b"{}"]);
        check("[{\"a\":\"é\"},[1]]".as_bytes(), &["{\"a\":\"é\"}".as_bytes(), b"[1]"]);
        check(b"[]", &[]);
    }

    #[test]
    fn what_is_no_array_is_one_record() {
        let whole: [&[u8]; 6] = [b"", b"{}", b"[{}", b"[{}]x", b"\xff", b"[{\"a\":}]"];
        for body in whole {
            check(body, &[body]);
        }
    }

    #[test]
    fn a_tag_is_put_in_front_where_an_object_can_take_it() {
        let check = |event: &str, tag, expected: &str| {
            let found = tagged(event.as_bytes(), tag);
            assert_eq!(String::from_utf8(found).unwrap(), expected);
        };
        check(r#"{"a":1}"#, Some("x\"y"), r#"{"tag":"x\"y","a":1}"#);
        check("{ }", Some("x"), r#"{"tag":"x" }"#);
        check(r#"{"a":1}"#, None, r#"{"a":1}"#);
        check("7", Some("x"), "7");
    }

    proptest! {
        #[test]
        fn every_array_is_split_into_just_its_elements(
            texts in proptest::collection::vec(".*", 0..6), spaces in " {0,2}",
        ) {
            let elements: Vec<String> = texts
                .iter()
                .map(|text| serde_json::json!({ "text": text, "list": [text, 1] }).to_string())
                .collect();
            let body = format!("[{spaces}{}{spaces}]", elements.join(&format!("{spaces},")));
            let found: Vec<&[u8]> = elements.iter().map(String::as_bytes).collect();
            prop_assert_eq!(split(body.as_bytes()), found);
        }
    }
}
