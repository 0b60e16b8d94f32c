//! Status events of calls: a call under way has a hold, and one that came to nothing has none.
//!
//! Applying an event twice, or late, or in another order than another event of the call, ends in the
//! same: a hold is placed once, and never over a call that is known to be over. So whoever is not sure
//! that an event was applied applies it again.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

use callmeter_core::domain::{CallSid, TwilioAccountSid};
use chrono::{DateTime, TimeDelta, Utc};
use futures::StreamExt;

use super::authorizer::{Ask, Decision, Payer};
use super::error::BalanceError;
use super::stage::Balance;
use super::terms::CallEnds;
use crate::ingest::batch::Batch;
use crate::ingest::decode::{CallSignalled, Event};
use crate::metrics::SIGNALS_DROPPED;

/// Status events that are looked at together.
const AT_ONCE: usize = 16;

/// The status events of a batch whose calls are not over within it, the last of each call. A call is
/// one by its `CallSid` under its `AccountSid`.
pub(super) fn of(batch: &Batch) -> Vec<CallSignalled> {
    let mut last: HashMap<(&TwilioAccountSid, &CallSid), &CallSignalled> = HashMap::new();
    for record in &batch.records {
        let Event::CallSignalled(signalled) = &record.event else { continue };
        let Some(call) = call_of(signalled) else { continue };
        // Once a call is over it stays so, in whatever order its events come.
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

fn call_of(signalled: &CallSignalled) -> Option<(&TwilioAccountSid, &CallSid)> {
    signalled.twilio_account_sid.as_ref().zip(signalled.call_sid.as_ref())
}

impl Balance {
    /// Applies the status events of records that were read again. False: not all of them could be, for
    /// Redis or Postgres is away; try again.
    pub async fn apply_again(&self, batch: &Batch) -> bool {
        self.apply(&of(batch)).await
    }

    /// Waits until all that was applied so far is journaled, for up to a second; false: it is not yet.
    pub async fn is_journaled(&self) -> bool {
        self.0.journal.flush().await
    }

    /// Places holds for calls that are under way, and frees those of calls that came to nothing. False:
    /// not all of them could be looked at.
    pub(super) async fn apply(&self, signals: &[CallSignalled]) -> bool {
        if signals.is_empty() {
            return true;
        }
        let sids = signals.iter().filter_map(|signalled| signalled.twilio_account_sid.as_ref());
        let nobodys = match self.learn_names(sids.collect()).await {
            Ok(nobodys) => nobodys,
            Err(error) => {
                tracing::debug!(%error, "status events wait");
                return false;
            }
        };
        let longest = TimeDelta::seconds(self.0.settings.call_seconds_max.into());
        let oldest = self.0.clock.now() - longest;
        let is_cut_short = AtomicBool::new(false);
        futures::stream::iter(signals)
            .for_each_concurrent(AT_ONCE, async |signalled| {
                let Some((sid, call_sid)) = call_of(signalled) else { return };
                // Those under way are waited for: what they changed is to be journaled.
                if nobodys.contains(sid) || is_cut_short.load(Ordering::Relaxed) {
                    return;
                }
                match self.signal(signalled, sid, call_sid, oldest).await {
                    Ok(true) => {}
                    Ok(false) => is_cut_short.store(true, Ordering::Relaxed),
                    Err(error) if error.is_passing() => {
                        tracing::debug!(%error, "a status event waits");
                        is_cut_short.store(true, Ordering::Relaxed);
                    }
                    Err(error) => {
                        metrics::counter!(SIGNALS_DROPPED).increment(1);
                        tracing::warn!(%error, %call_sid, "a status event changed no hold");
                    }
                }
            })
            .await;
        !is_cut_short.into_inner()
    }

    /// Applies one status event; false: holds are unknown right now.
    async fn signal(
        &self,
        signalled: &CallSignalled,
        sid: &TwilioAccountSid,
        call_sid: &CallSid,
        oldest: DateTime<Utc>,
    ) -> Result<bool, BalanceError> {
        if signalled.status.is_terminal() {
            return self.void_from_stream(sid, call_sid).await;
        }
        if signalled.signalled_at < oldest {
            return Ok(true);
        }
        let ask = Ask {
            payer: Payer::TwilioAccount(sid),
            call_sid,
            ends: CallEnds {
                direction: signalled.direction.as_deref(),
                from: signalled.from.as_deref(),
                to: signalled.to.as_deref(),
                is_child_leg: signalled.parent_call_sid.as_deref().is_some_and(|it| !it.is_empty()),
            },
            seconds: self.0.settings.stream_seconds,
            tag: None,
        };
        Ok(self.place_from_stream(ask).await? != Decision::Unavailable)
    }
}
