//! The status events of a batch that place or free holds.

use std::collections::HashMap;

use callmeter_core::domain::{CallSid, TwilioAccountSid};

use crate::ingest::batch::Batch;
use crate::ingest::decode::{CallSignalled, Event};

/// The last status event of each call without a `CallEnded` in the batch. A call is identified by
/// its `CallSid` under its `AccountSid`.
pub(crate) fn of_batch(batch: &Batch) -> Vec<CallSignalled> {
    let mut last: HashMap<(&TwilioAccountSid, &CallSid), &CallSignalled> = HashMap::new();
    for record in &batch.records {
        let Event::CallSignalled(signalled) = &record.event else { continue };
        let Some(call) = call_of(signalled) else { continue };
        // A call that has ended stays ended, in whatever order its events come.
        let known = last.entry(call).or_insert(signalled);
        if !known.status.is_terminal() {
            *known = signalled;
        }
    }
    if !last.is_empty() {
        for record in &batch.records {
            if let Event::CallEnded(ended) = &record.event {
                last.remove(&(&ended.twilio_account_sid, &ended.call.call_sid));
            }
        }
    }
    last.into_values().cloned().collect()
}

/// The call that an event names, if any.
pub(crate) fn call_of(signalled: &CallSignalled) -> Option<(&TwilioAccountSid, &CallSid)> {
    signalled.twilio_account_sid.as_ref().zip(signalled.call_sid.as_ref())
}
