//! A call as Twilio lists it, in the words of the callback that was lost.

use callmeter_core::domain::{CallSid, TwilioAccountSid};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::ingest::decode::{Event, Limits, Topic, decode};
use crate::twilio::CallRecord;

/// `CallbackSource` of what the sweep publishes; Twilio's own is `call-progress-events`.
pub const SOURCE: &str = "callmeter-sweep";

/// Makes the record of a call that ended; none where the decoder would reject it.
///
/// Its fields are those of a status callback, so it is charged as that would have been: by
/// `CallDuration`, from the end less that. `Duration` is left out: it is Twilio's own count, and
/// only the callback tells it. The tag of the callback's address is not known here.
pub(super) fn event(
    sid: &TwilioAccountSid,
    call: &CallRecord,
    now: DateTime<Utc>,
    limits: Limits,
) -> Option<Vec<u8>> {
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
    put("Timestamp", call.end_time.map(|at| at.to_rfc2822()));
    put("CallDuration", call.duration.map(|seconds| seconds.to_string()));
    let record = parameters.to_string().into_bytes();
    let of_this_call = |found: &CallSid| found.as_str() == call.sid;
    match decode(Topic::Calls, &record, now, limits) {
        // An end that Twilio does not tell would be taken for now: such a call waits.
        Event::CallEnded(ended) if of_this_call(&ended.call.call_sid) => {
            call.end_time.is_some().then_some(record)
        }
        Event::CallSignalled(signalled) if !call.is_under_way() => {
            signalled.call_sid.as_ref().is_some_and(of_this_call).then_some(record)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { call_seconds_max: 86_400, end_ahead_seconds_max: 86_400 };

    fn made(change: impl FnOnce(&mut CallRecord)) -> Option<Event> {
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
        let record = event(&sid, &call, now, LIMITS)?;
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
    fn what_would_be_rejected_or_guessed_at_is_not_published() {
        assert!(made(|call| call.duration = None).is_none());
        assert!(made(|call| call.duration = Some(86_401)).is_none());
        assert!(made(|call| call.end_time = None).is_none());
        assert!(made(|call| call.sid = String::new()).is_none());
        assert!(made(|call| call.status = "in-progress".to_owned()).is_none());
        assert!(made(|call| call.status = "the deets".to_owned()).is_none());
        let busy = made(|call| call.status = "busy".to_owned());
        assert!(matches!(busy, Some(Event::CallSignalled(_))), "leaves a tombstone");
    }
}
