//! Reduces a call record that is too large for Kafka, so that the call is charged however much was
//! posted with it.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::call::{self, Told};
use super::fields::{Envelope, Scalar, repair};
use super::instants;

/// Characters kept of each text: a longer id charges nobody, and longer text is never stored.
const CHARACTERS_MAX: usize = 256;
/// Replaces a value that no parameter can have.
const NO_VALUE: Value = Value::Bool(false);
/// Name of the member that says what is missing.
const OVERSIZED: &str = "oversized";

/// Only the flat parameters by which a call record is charged; decoding them gives the same result.
/// If they cannot be read: a stand-in, which decoding skips or rejects as it would the record. Both
/// contain the length and the SHA-256 of the whole.
pub(super) fn reduced(value: &[u8]) -> Vec<u8> {
    let told = call::read(value, parameters);
    let mut reduced = told.ok().flatten().unwrap_or_else(|| envelope(value));
    let hash = hex::encode(Sha256::digest(value));
    reduced.insert(OVERSIZED.to_owned(), json!({ "bytes": value.len(), "sha256": hash }));
    Value::Object(reduced).to_string().into_bytes()
}

fn parameters(told: &Told<'_>) -> Map<String, Value> {
    let of = told.parameters;
    let read = told.instants.iter().find_map(|instant| instants::parse(instant.text()?));
    let named = [
        ("AccountSid", &of.account_sid),
        ("CallSid", &of.call_sid),
        ("ParentCallSid", &of.parent_call_sid),
        ("CallStatus", &of.call_status),
        ("CallDuration", &of.call_duration),
        ("Duration", &of.duration),
        ("Direction", &of.direction),
        ("From", &of.from),
        ("To", &of.to),
    ];
    let mut kept: Map<String, Value> = named
        .iter()
        .filter_map(|(name, value)| Some(((*name).to_owned(), short(value)?)))
        .collect();
    if let Some(at) = read {
        kept.insert("Timestamp".to_owned(), at.to_rfc3339().into());
    }
    if let Some(tag) = &told.tag {
        kept.insert("tag".to_owned(), cut(tag).into());
    }
    kept
}

/// The members that tell an event of another type from a record that cannot be read.
fn envelope(value: &[u8]) -> Map<String, Value> {
    let repaired = repair(value);
    let Ok(envelope) = serde_json::from_str::<Envelope<'_>>(&repaired) else { return Map::new() };
    let named = [("specversion", &envelope.specversion), ("type", &envelope.kind)];
    let kept = named.iter().filter_map(|(name, value)| Some(((*name).to_owned(), short(value)?)));
    // The presence of `data` alone also marks a CloudEvent.
    kept.chain(envelope.data.map(|_| ("data".to_owned(), NO_VALUE))).collect()
}

/// A value that decodes to the same; none if it is absent.
fn short(value: &Scalar<'_>) -> Option<Value> {
    match value {
        Scalar::Absent => None,
        Scalar::Text(text) => Some(cut(text).into()),
        Scalar::Integer(number) => {
            let number = i64::try_from(*number).map(Value::from);
            Some(number.unwrap_or(NO_VALUE))
        }
        Scalar::Other => Some(NO_VALUE),
    }
}

fn cut(text: &str) -> &str {
    text.char_indices().nth(CHARACTERS_MAX).map_or(text, |(end, _)| &text[..end])
}
