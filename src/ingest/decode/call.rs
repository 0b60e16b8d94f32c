//! Decodes a call event: a CloudEvent of Event Streams, or the flat parameters of a status
//! callback.

use std::borrow::Cow;

use callmeter_core::domain::call::{Call, CallStatus};
use callmeter_core::domain::ids::{CallSid, IdError, TwilioAccountSid};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::value::RawValue;

use super::fields::{Envelope, EventData, Parameters, Scalar, repair};
use super::one_pass::Usual;
use super::{
    CallEnded, CallSignalled, Event, Limits, Rejection, Subject, as_it_came, instants, storable,
};

/// Type prefixes of Twilio's voice status events; the status follows.
const TYPE_PREFIXES: [&str; 2] =
    ["com.twilio.voice.status-callback.call.", "com.twilio.voice.webhook.status-callback.call."];

pub(super) fn decode(
    value: &[u8],
    record_at: DateTime<Utc>,
    limits: Limits,
) -> Result<Event, Rejection> {
    let event = read(value, |call| read_call(call, record_at, limits))?;
    event.unwrap_or(Ok(Event::Skipped))
}

/// The `AccountSid` by which [`decode`] would charge this record; none if it charges nobody.
pub(super) fn account_sid(value: &[u8]) -> Option<TwilioAccountSid> {
    subject(value)?.twilio_account_sid
}

/// The ids that a record of calls names; none if it is an event of another type or unreadable.
pub(super) fn subject(value: &[u8]) -> Option<Subject> {
    let subject = read(value, |Told { parameters, .. }| Subject {
        twilio_account_sid: identity(
            "AccountSid",
            &parameters.account_sid,
            TwilioAccountSid::parse,
        )
        .ok(),
        call_sid: identity("CallSid", &parameters.call_sid, CallSid::parse).ok(),
    });
    subject.ok().flatten()
}

/// A call's status as a record of either shape states it.
#[derive(Debug)]
pub(super) struct Told<'a> {
    pub(super) parameters: &'a Parameters<'a>,
    /// Values that may hold its time, the best first.
    pub(super) instants: [&'a Scalar<'a>; 3],
    pub(super) tag: Option<Cow<'a, str>>,
}

/// Passes the call of a record to `take`; none if the record is an event of another type.
///
/// A record of a usual shape is read in one pass, to the same result.
pub(super) fn read<T>(
    value: &[u8],
    take: impl FnMut(&Told<'_>) -> T,
) -> Result<Option<T>, Rejection> {
    let mut usual = Usual::default();
    if usual.read(value, is_call).is_none() {
        return read_in_full(value, take);
    }
    match &usual.data {
        Some(data) => Ok(Some(take_event(&usual.envelope, data, take))),
        None => read_envelope(&usual.envelope, take),
    }
}

/// As [`read`], for a record of any shape.
pub(super) fn read_in_full<T>(
    value: &[u8],
    take: impl FnMut(&Told<'_>) -> T,
) -> Result<Option<T>, Rejection> {
    if let Ok(envelope) = serde_json::from_slice::<Envelope<'_>>(value) {
        return read_envelope(&envelope, take);
    }
    let repaired = repair(value);
    let envelope = serde_json::from_str::<Envelope<'_>>(&repaired)
        .map_err(|error| Rejection::undecodable(format!("not a JSON object: {error}")))?;
    read_envelope(&envelope, take)
}

fn read_envelope<T>(
    envelope: &Envelope<'_>,
    mut take: impl FnMut(&Told<'_>) -> T,
) -> Result<Option<T>, Rejection> {
    let parameters = &envelope.parameters;
    let has_members = envelope.specversion != Scalar::Absent || envelope.data.is_some();
    // A callback may carry parameters of any name, also names of CloudEvent members.
    let is_callback = envelope.kind == Scalar::Absent
        && parameters.account_sid.text().is_some()
        && parameters.call_sid.text().is_some();
    if !has_members || is_callback {
        let instants = [&parameters.timestamp, &Scalar::Absent, &Scalar::Absent];
        let tag = parameters.tag.text().map(Cow::Borrowed);
        return Ok(Some(take(&Told { parameters, instants, tag })));
    }
    let Some(kind) = envelope.kind.text() else {
        return Err(Rejection::invalid("type of the CloudEvent is missing"));
    };
    if !is_call(kind) {
        return Ok(None);
    }
    let data = envelope.data.map(RawValue::get).unwrap_or_default();
    let data = match data.as_bytes().first() {
        Some(b'{') => Cow::Borrowed(data),
        // Some sinks send `data` as a string that contains the object.
        Some(b'"') => Cow::Owned(held_object(data)?),
        _ => return Err(Rejection::invalid("data is no object")),
    };
    if let Ok(data) = serde_json::from_str::<EventData<'_>>(&data) {
        return Ok(Some(take_event(envelope, &data, take)));
    }
    match serde_json::from_str::<EventData<'_>>(&repair(data.as_bytes())) {
        Ok(data) => Ok(Some(take_event(envelope, &data, take))),
        Err(error) if error.is_data() => {
            Err(Rejection::invalid(format!("data cannot be read: {error}")))
        }
        Err(error) => Err(Rejection::undecodable(format!("data is no JSON object: {error}"))),
    }
}

/// Passes the call of an event to `take`.
fn take_event<T>(
    envelope: &Envelope<'_>,
    data: &EventData<'_>,
    mut take: impl FnMut(&Told<'_>) -> T,
) -> T {
    let parameters = &data.request.parameters;
    let instants = [&parameters.timestamp, &data.timestamp, &envelope.time];
    // The call's own tag, else that of the callback's URL, else that of the sink.
    let own = parameters.tag.text().map(Cow::Borrowed);
    let tag = own
        .or_else(|| tag_in(data.request.url.text()?).map(Cow::Owned))
        .or_else(|| envelope.parameters.tag.text().map(Cow::Borrowed));
    take(&Told { parameters, instants, tag })
}

/// True if an event of this type is a call's status.
pub(super) fn is_call(kind: &str) -> bool {
    TYPE_PREFIXES.iter().any(|prefix| kind.starts_with(prefix))
}

/// The tag in the query of a callback's URL.
fn tag_in(url: &str) -> Option<String> {
    let (_, query) = url.split_once('?')?;
    let query = query.split('#').next().unwrap_or_default();
    let tag = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "tag")?.1;
    (!tag.is_empty()).then(|| tag.into_owned())
}

/// The text of a JSON string, if an object begins in it.
fn held_object(json: &str) -> Result<String, Rejection> {
    let text: String = serde_json::from_str(json)
        .or_else(|_| serde_json::from_str(&repair(json.as_bytes())))
        .map_err(|error| Rejection::undecodable(format!("data cannot be read: {error}")))?;
    if text.trim_start().starts_with('{') {
        return Ok(text);
    }
    Err(Rejection::undecodable("data is a string that holds no JSON object"))
}

fn read_call(
    told: &Told<'_>,
    record_at: DateTime<Utc>,
    limits: Limits,
) -> Result<Event, Rejection> {
    let Told { parameters, instants, .. } = told;
    let Some(status) = parameters.call_status.text() else {
        return Err(Rejection::invalid("CallStatus is missing"));
    };
    let status = CallStatus::parse(status)
        .map_err(|_| Rejection::invalid(format!("CallStatus is unknown: {:?}", short(status))))?;
    let told_at = instants.iter().find_map(|instant| instants::parse(instant.text()?));
    let at = told_at.unwrap_or(record_at);
    let text = |value: &Scalar<'_>| value.text().and_then(storable);
    let account_sid = &parameters.account_sid;
    let twilio_account_sid = identity("AccountSid", account_sid, TwilioAccountSid::parse);
    let call_sid = identity("CallSid", &parameters.call_sid, CallSid::parse);
    if !status.is_billable() {
        return Ok(Event::CallSignalled(CallSignalled {
            status,
            twilio_account_sid: twilio_account_sid.ok(),
            call_sid: call_sid.ok(),
            direction: text(&parameters.direction),
            from: text(&parameters.from),
            to: text(&parameters.to),
            parent_call_sid: text(&parameters.parent_call_sid),
            signalled_at: at,
        }));
    }
    let (twilio_account_sid, call_sid) = (twilio_account_sid?, call_sid?);
    let seconds = call_duration(&parameters.call_duration, limits.call_seconds_max)?;
    let ahead_max = TimeDelta::seconds(limits.end_ahead_seconds_max.into());
    if at.signed_duration_since(record_at) > ahead_max {
        return Err(Rejection::invalid(format!(
            "the call ends at {at}, more than {} s after its record of {record_at}",
            limits.end_ahead_seconds_max
        )));
    }
    Ok(Event::CallEnded(CallEnded {
        twilio_account_sid,
        call: Call {
            call_sid,
            parent_call_sid: text(&parameters.parent_call_sid),
            from: text(&parameters.from),
            to: text(&parameters.to),
            direction: text(&parameters.direction),
            ended_at: at,
            seconds,
            twilio_minutes: whole_number(&parameters.duration).and_then(|n| u32::try_from(n).ok()),
            tag: told.tag.as_deref().and_then(storable),
        },
    }))
}

fn identity<T>(
    name: &str,
    value: &Scalar<'_>,
    parse: impl Fn(&str) -> Result<T, IdError>,
) -> Result<T, Rejection> {
    let sid = value.text();
    let sid = sid.ok_or_else(|| Rejection::invalid(format!("{name} is missing or no text")))?;
    parse(as_it_came(name, sid)?).map_err(|error| Rejection::invalid(error.to_string()))
}

/// `CallDuration` in seconds, a [`whole_number`].
fn call_duration(value: &Scalar<'_>, seconds_max: u32) -> Result<u32, Rejection> {
    if matches!(value, Scalar::Absent) || *value == Scalar::Text("".into()) {
        return Err(Rejection::invalid("CallDuration is missing on a completed call"));
    }
    let Some(seconds) = whole_number(value) else {
        let found = value
            .text()
            .map_or_else(|| "no whole number".to_owned(), |t| format!("{:?}", short(t)));
        return Err(Rejection::invalid(format!("CallDuration is not a whole number: {found}")));
    };
    match u32::try_from(seconds) {
        Ok(seconds) if seconds <= seconds_max => Ok(seconds),
        _ => Err(Rejection::invalid(format!(
            "CallDuration is {seconds}, not between 0 and {seconds_max}"
        ))),
    }
}

/// A JSON number without fraction and exponent, or a string of only ASCII digits.
fn whole_number(value: &Scalar<'_>) -> Option<i128> {
    match value {
        Scalar::Integer(number) => Some(*number),
        Scalar::Text(text) if !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit()) => {
            let digits = text.trim_start_matches('0');
            if digits.is_empty() { Some(0) } else { digits.parse().ok() }
        }
        Scalar::Text(_) | Scalar::Absent | Scalar::Other => None,
    }
}

/// The beginning of a text, for a message.
fn short(text: &str) -> String {
    text.chars().take(40).collect()
}
