//! A call from Twilio's list, as the status callback that was lost.

use callmeter_core::domain::{CallSid, TwilioAccountSid};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::ingest::decode::{Event, Limits, Topic, decode};
use crate::twilio::CallRecord;

/// `CallbackSource` of records from the sweep; Twilio's own is `call-progress-events`.
pub const SOURCE: &str = "callmeter-sweep";

/// The record of a call's end, and how it will be handled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// Charged, or stored as a tombstone.
    Usable(Vec<u8>),
    /// Always rejected, and kept as a reject.
    Rejected(Vec<u8>),
    /// Twilio does not report enough, or not yet.
    NotYet,
}

/// Creates the record of a call that ended.
///
/// Its fields are those of a status callback, so it is charged as the callback would have been: by
/// `CallDuration`, with the start computed from the end. `Duration` is left out: it is Twilio's own
/// count, which only the callback has. The tag in the callback's address is not known here.
///
/// A missing end is computed from start and duration. A missing duration is never computed from
/// start and end: it is what is billed, and the start may be that of the ringing.
pub(super) fn event(
    sid: &TwilioAccountSid,
    call: &CallRecord,
    now: DateTime<Utc>,
    limits: Limits,
) -> Told {
    let mut parameters = json!({
        "AccountSid": sid.as_str(),
        "CallSid": call.sid,
        "CallStatus": call.status,
        "CallbackSource": SOURCE,
    });
    let mut put = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            parameters[name] = Value::String(value);
        }
    };
    put("ParentCallSid", call.parent_call_sid.clone());
    put("From", call.from.clone());
    put("To", call.to.clone());
    put("Direction", call.direction.clone());
    let ended_at = call.ended_at();
    put("Timestamp", ended_at.map(|at| at.to_rfc2822()));
    put("CallDuration", call.duration.map(|seconds| seconds.to_string()));
    let record = parameters.to_string().into_bytes();
    let of_this_call = |found: &CallSid| found.as_str() == call.sid;
    // A record without an end would be charged as if the call ended now, so the call waits.
    let has_ended = ended_at.is_some();
    match decode(Topic::Calls, &record, now, limits) {
        Event::CallEnded(ended) if has_ended && of_this_call(&ended.call.call_sid) => {
            Told::Usable(record)
        }
        Event::CallSignalled(signalled)
            if !call.is_under_way() && signalled.call_sid.as_ref().is_some_and(of_this_call) =>
        {
            Told::Usable(record)
        }
        Event::Rejected(_) if has_ended && call.is_completed() && call.duration.is_some() => {
            Told::Rejected(record)
        }
        _ => Told::NotYet,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { call_seconds_max: 86_400, end_ahead_seconds_max: 86_400 };

    fn told(change: impl FnOnce(&mut CallRecord)) -> (Told, DateTime<Utc>) {
        let end = DateTime::from_timestamp(1_790_000_000, 0);
        let mut call = CallRecord {
            sid: "CA0123456789abcdef0123456789abcdef".to_owned(),
            account_sid: Some("AC1".to_owned()),
            parent_call_sid: None,
            status: "completed".to_owned(),
            from: Some("+15005550001".to_owned()),
            to: Some("+15005550006".to_owned()),
            direction: Some("inbound".to_owned()),
            start_time: end,
            end_time: end,
            duration: Some(61),
        };
        change(&mut call);
        let sid = TwilioAccountSid::parse("AC1").unwrap();
        let now = end.unwrap();
        (event(&sid, &call, now, LIMITS), now)
    }

    fn made(change: impl FnOnce(&mut CallRecord)) -> Option<Event> {
        let (Told::Usable(record), now) = told(change) else { return None };
        Some(decode(Topic::Calls, &record, now, LIMITS))
    }

    #[test]
    fn a_completed_call_is_told_as_its_callback_would_have() {
        let Some(Event::CallEnded(ended)) = made(|_| ()) else { panic!("no end") };
        let call = ended.call;
        assert_eq!(call.seconds, 61);
        assert_eq!(call.ended_at.timestamp(), 1_790_000_000);
        let ends = [call.from.as_deref(), call.to.as_deref(), call.direction.as_deref()];
        assert_eq!(ends, [Some("+15005550001"), Some("+15005550006"), Some("inbound")]);
        assert_eq!(call.twilio_minutes, None);
    }

    #[test]
    fn what_twilio_does_not_tell_is_not_guessed_at() {
        assert!(made(|call| call.duration = None).is_none());
        assert!(made(|call| (call.start_time, call.end_time) = (None, None)).is_none());
        assert!(made(|call| call.sid = String::new()).is_none());
        assert!(made(|call| call.status = "in-progress".to_owned()).is_none());
        assert!(made(|call| call.status = "the deets".to_owned()).is_none());
        let busy = made(|call| call.status = "busy".to_owned());
        assert!(matches!(busy, Some(Event::CallSignalled(_))), "leaves a tombstone");
    }

    #[test]
    fn an_end_that_follows_from_start_and_duration_is_told() {
        let ended = |change: fn(&mut CallRecord)| match made(change) {
            Some(Event::CallEnded(ended)) => (ended.call.ended_at.timestamp(), ended.call.seconds),
            other => panic!("no end: {other:?}"),
        };
        assert_eq!(ended(|call| call.end_time = None), (1_790_000_061, 61));
        assert_eq!(ended(|call| call.start_time = None), (1_790_000_000, 61));
        let too_long =
            |call: &mut CallRecord| (call.end_time, call.duration) = (None, Some(86_401));
        assert!(matches!(told(too_long).0, Told::Rejected(_)), "and what is refused is kept");
        // An unanswered leg ends later than it starts, with a duration of 0.
        let busy = |call: &mut CallRecord| {
            (call.status, call.end_time, call.duration) = ("busy".to_owned(), None, Some(0));
        };
        let (Told::Usable(record), _) = told(busy) else { panic!("no tombstone") };
        assert!(!String::from_utf8_lossy(&record).contains("Timestamp"));
    }

    #[test]
    fn an_end_that_no_timestamp_can_write_is_none() {
        let at = |year| {
            let day = chrono::NaiveDate::from_ymd_opt(year, 12, 31);
            day.and_then(|day| day.and_hms_opt(23, 59, 59)).map(|at| at.and_utc())
        };
        let (last, beyond, before) = (at(9_999), at(10_000), at(-1));
        for (start, end) in [(last, None), (None, beyond), (None, before)] {
            let odd = |call: &mut CallRecord| (call.start_time, call.end_time) = (start, end);
            assert_eq!(told(odd).0, Told::NotYet, "{start:?} {end:?}");
        }
    }

    #[test]
    fn what_twilio_tells_whole_and_charging_refuses_is_kept() {
        let is_kept = |change: fn(&mut CallRecord)| matches!(told(change).0, Told::Rejected(_));
        assert!(is_kept(|call| call.duration = Some(86_401)));
        assert!(is_kept(|call| call.end_time = DateTime::from_timestamp(1_800_000_000, 0)));
        assert!(!is_kept(|call| call.duration = None));
        assert!(!is_kept(|call| call.status = "the deets".to_owned()));
    }
}
