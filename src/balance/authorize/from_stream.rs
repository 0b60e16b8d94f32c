//! Applies status events: a call in progress gets a hold, and one that came to nothing is voided.
//!
//! A hold is placed once, and never for a call that is known to have ended. So an event that may
//! not have been applied is simply applied again.

use std::sync::atomic::{AtomicBool, Ordering};

use callmeter_core::domain::{CallSid, TwilioAccountSid};
use chrono::{DateTime, TimeDelta, Utc};
use futures::StreamExt;

use super::{Ask, Decision, Payer};
use crate::balance::model::{BalanceError, CallParties};
use crate::balance::state::Balance;
use crate::balance::status_events::{call_of, of_batch};
use crate::ingest::batch::Batch;
use crate::ingest::decode::CallSignalled;
use crate::metrics::SIGNALS_DROPPED;

/// Status events that are applied at the same time.
const AT_ONCE: usize = 16;

impl Balance {
    /// Applies the status events of records that were read again. False: not all could be applied,
    /// because Redis or Postgres is away; try again.
    pub async fn apply_again(&self, batch: &Batch) -> bool {
        self.apply(&of_batch(batch)).await
    }

    /// Waits up to a second until all changes so far are journaled; false: they are not yet.
    pub async fn is_journaled(&self) -> bool {
        self.0.journal.flush().await
    }

    /// Places holds for calls in progress, and frees those of calls that came to nothing. False:
    /// not all events could be applied.
    pub(crate) async fn apply(&self, signals: &[CallSignalled]) -> bool {
        if signals.is_empty() {
            return true;
        }
        let sids = signals.iter().filter_map(|signalled| signalled.twilio_account_sid.as_ref());
        let nobodys = match self.learn_payers(sids.collect()).await {
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
                // Running ones are awaited, because their changes must be journaled.
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

    /// Applies one status event; false: holds are unavailable right now.
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
            parties: CallParties {
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
