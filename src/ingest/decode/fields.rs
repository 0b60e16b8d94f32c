//! Reads the few fields that charging needs from a JSON record of any shape.
//!
//! Twilio's values are free text: unpaired surrogates, NUL and invalid UTF-8 do occur in names.
//! Fields that are not read are not checked; fields that are read are repaired. One odd city name
//! never prevents a charge.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// A JSON value, as far as a Twilio parameter can be one.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Scalar<'de> {
    /// Absent or `null`.
    #[default]
    Absent,
    /// A string.
    Text(Cow<'de, str>),
    /// A whole number.
    Integer(i128),
    /// A fraction, a boolean, an array or an object: never valid for a parameter.
    Other,
}

impl Scalar<'_> {
    /// The text, if it is not empty.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) if !text.is_empty() => Some(text),
            _ => None,
        }
    }
}

struct ScalarVisitor;

impl<'de> Visitor<'de> for ScalarVisitor {
    type Value = Scalar<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }
    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(Cow::Borrowed(text)))
    }
    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(Cow::Owned(text.to_owned())))
    }
    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Scalar::Integer(number.into()))
    }
    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Scalar::Integer(number.into()))
    }
    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Scalar::Other)
    }
    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Scalar::Other)
    }
    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Scalar::Absent)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Scalar::Other)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        while entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Scalar::Other)
    }
}

impl<'de> Deserialize<'de> for Scalar<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

/// The parameters of a status callback. The last value of a repeated key counts.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Parameters<'de> {
    pub account_sid: Scalar<'de>,
    pub call_sid: Scalar<'de>,
    pub parent_call_sid: Scalar<'de>,
    pub call_status: Scalar<'de>,
    pub call_duration: Scalar<'de>,
    pub duration: Scalar<'de>,
    pub direction: Scalar<'de>,
    pub from: Scalar<'de>,
    pub to: Scalar<'de>,
    pub timestamp: Scalar<'de>,
    pub tag: Scalar<'de>,
}

impl<'de> Parameters<'de> {
    /// Place of the parameter `key`; none if charging does not read it.
    pub(super) fn slot(&mut self, key: &[u8]) -> Option<&mut Scalar<'de>> {
        Some(match key {
            b"AccountSid" => &mut self.account_sid,
            b"CallSid" => &mut self.call_sid,
            b"ParentCallSid" => &mut self.parent_call_sid,
            b"CallStatus" => &mut self.call_status,
            b"CallDuration" => &mut self.call_duration,
            b"Duration" => &mut self.duration,
            b"Direction" => &mut self.direction,
            b"From" => &mut self.from,
            b"To" => &mut self.to,
            b"Timestamp" => &mut self.timestamp,
            b"tag" => &mut self.tag,
            _ => return None,
        })
    }
}

/// `data` of a CloudEvent of Twilio's voice events.
#[derive(Debug, Default, PartialEq)]
pub(super) struct EventData<'de> {
    pub timestamp: Scalar<'de>,
    pub request: Request<'de>,
}

/// The callback that an event reports.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Request<'de> {
    /// URL to which Twilio sent it.
    pub url: Scalar<'de>,
    pub parameters: Parameters<'de>,
}

/// A record of either shape: CloudEvent members, and parameters at the top level.
#[derive(Debug, Default)]
pub(super) struct Envelope<'de> {
    pub specversion: Scalar<'de>,
    pub kind: Scalar<'de>,
    pub time: Scalar<'de>,
    /// Unparsed: the type decides whether it is read at all.
    pub data: Option<&'de RawValue>,
    pub parameters: Parameters<'de>,
}

impl<'de> Envelope<'de> {
    /// Place of the member `key`, save for `data`; none if charging does not read it.
    pub(super) fn slot(&mut self, key: &[u8]) -> Option<&mut Scalar<'de>> {
        match key {
            b"specversion" => Some(&mut self.specversion),
            b"type" => Some(&mut self.kind),
            b"time" => Some(&mut self.time),
            _ => self.parameters.slot(key),
        }
    }
}

/// Derives a `Deserialize` that fills a struct member by member from a JSON object.
macro_rules! filled_from_object {
    ($type:ident, $expecting:literal, |$into:ident, $key:ident, $entries:ident| $body:expr) => {
        impl<'de> Deserialize<'de> for $type<'de> {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct ObjectVisitor;
                impl<'de> Visitor<'de> for ObjectVisitor {
                    type Value = $type<'de>;
                    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                        formatter.write_str($expecting)
                    }
                    fn visit_map<A: MapAccess<'de>>(
                        self,
                        mut $entries: A,
                    ) -> Result<Self::Value, A::Error> {
                        let mut value = <$type<'de>>::default();
                        let $into = &mut value;
                        while let Some(Key($key)) = $entries.next_key()? {
                            $body
                        }
                        Ok(value)
                    }
                }
                deserializer.deserialize_map(ObjectVisitor)
            }
        }
    };
}

/// An object's key, borrowed if it contains no escapes.
struct Key<'de>(Cow<'de, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Scalar::deserialize(deserializer)? {
            Scalar::Text(text) => Ok(Self(text)),
            _ => Ok(Self(Cow::Borrowed(""))),
        }
    }
}

filled_from_object!(Parameters, "an object of parameters", |into, key, entries| {
    match into.slot(key.as_bytes()) {
        Some(slot) => *slot = entries.next_value()?,
        None => drop(entries.next_value::<IgnoredAny>()?),
    }
});

filled_from_object!(EventData, "an object with the request", |into, key, entries| {
    match key.as_ref() {
        "timestamp" => into.timestamp = entries.next_value()?,
        "request" => into.request = entries.next_value()?,
        _ => drop(entries.next_value::<IgnoredAny>()?),
    }
});

filled_from_object!(Request, "an object with parameters", |into, key, entries| {
    match key.as_ref() {
        "parameters" => into.parameters = entries.next_value()?,
        "url" => into.url = entries.next_value()?,
        _ => drop(entries.next_value::<IgnoredAny>()?),
    }
});

filled_from_object!(Envelope, "a JSON object", |into, key, entries| {
    match key.as_ref() {
        "data" => into.data = entries.next_value()?,
        _ => match into.slot(key.as_bytes()) {
            Some(slot) => *slot = entries.next_value()?,
            None => drop(entries.next_value::<IgnoredAny>()?),
        },
    }
});

/// The record as text that serde can read: invalid UTF-8 and unpaired surrogates become U+FFFD.
pub(super) fn repair(record: &[u8]) -> String {
    let text = String::from_utf8_lossy(record);
    let mut repaired = String::with_capacity(text.len());
    let mut rest = text.as_ref();
    while let Some(at) = rest.find('\\') {
        repaired.push_str(&rest[..at]);
        let escape = &rest[at..];
        let taken = match surrogate(escape) {
            Some(0xD800..=0xDBFF)
                if matches!(escape.get(6..).and_then(surrogate), Some(0xDC00..=0xDFFF)) =>
            {
                repaired.push_str(&escape[..12]);
                12
            }
            Some(_) => {
                repaired.push_str("\\ufffd");
                6
            }
            None => {
                // Any other escape: the backslash and the one character that it escapes.
                let length = escape.chars().take(2).map(char::len_utf8).sum();
                repaired.push_str(&escape[..length]);
                length
            }
        };
        rest = &rest[at + taken..];
    }
    repaired.push_str(rest);
    repaired
}

/// The code of a `\uD800` to `\uDFFF` escape at the start of `text`.
fn surrogate(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    let code = u32::from_str_radix(digits, 16).ok()?;
    (0xD800..=0xDFFF).contains(&code).then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &[u8]) -> String {
        let repaired = repair(json);
        let envelope: Envelope<'_> =
            serde_json::from_str(&repaired).expect("repaired text is read");
        envelope.parameters.from.text().unwrap_or_default().to_owned()
    }

    #[test]
    fn unpaired_surrogates_become_replacement_characters_and_pairs_stay() {
        assert_eq!(read(br#"{"From":"a\ud800b"}"#), "a\u{fffd}b");
        assert_eq!(read(br#"{"From":"a\udc00"}"#), "a\u{fffd}");
        assert_eq!(read(br#"{"From":"\ud83d\ude00"}"#), "\u{1f600}");
        assert_eq!(read(br#"{"From":"\ud83d\ud83d\ude00"}"#), "\u{fffd}\u{1f600}");
        assert_eq!(read(br#"{"From":"\\ud800"}"#), "\\ud800");
        assert_eq!(read(b"{\"From\":\"\xff\"}"), "\u{fffd}");
    }

    #[test]
    fn a_key_that_comes_twice_counts_as_it_came_last() {
        assert_eq!(read(br#"{"From":"first","From":"last"}"#), "last");
    }

    #[test]
    fn what_is_not_read_may_hold_anything() {
        let odd = br#"{"ToCity":"\ud800","FromCity":{"a":[1,null]},"From":"+1"}"#;
        let envelope: Envelope<'_> =
            serde_json::from_slice(odd).expect("ignored text is not checked");
        assert_eq!(envelope.parameters.from.text(), Some("+1"));
    }
}
