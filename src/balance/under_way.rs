//! What callers ask of a call that was allowed: to go on for longer, or to be given up.

use callmeter_core::domain::{AccountId, CallSid, Money, TwilioAccountSid};
use tokio::time::Instant;

use super::authorizer::{ATTEMPTS_MAX, Allowance, Decision};
use super::error::BalanceError;
use super::scripts::{Denial, Extend, Extended, PlacedHold, Void, Voided};
use super::stage::Balance;

impl Balance {
    /// Lets a call that was allowed go on, to a total of `seconds` since its answer.
    ///
    /// # Errors
    /// As [`Self::authorize`].
    pub async fn extend(
        &self,
        account: &AccountId,
        call_sid: &CallSid,
        seconds: u32,
    ) -> Result<Decision, BalanceError> {
        let operation = uuid::Uuid::now_v7().simple().to_string();
        let settings = &self.0.settings;
        let extend =
            Extend { account, operation: &operation, call_sid, asked_seconds: seconds, settings };
        let asked_at = Instant::now();
        let mut was_lost = false;
        for _ in 0..ATTEMPTS_MAX {
            match self.ask_believing(&extend).await {
                Ok(Extended::Held(held)) => {
                    let PlacedHold { hold, is_new, .. } = held;
                    self.0.journal.placed(account, call_sid, &hold, is_new, asked_at);
                    return Ok(Decision::Allow(Allowance::from(&hold)));
                }
                Ok(Extended::Settled) => {
                    let reason = Denial::CallAlreadySettled;
                    return Ok(Decision::Deny { reason, shortfall: Money::ZERO });
                }
                Ok(Extended::Absent) => return Ok(Decision::NotFound),
                Ok(Extended::Unknown { .. }) => {
                    if !self.load(account).await? {
                        return Ok(Decision::NotFound);
                    }
                }
                Err(error) if error.is_lost() && !was_lost => was_lost = true,
                Err(error) if error.is_lost() => return Ok(Decision::Unavailable),
                Err(error) => return Err(error),
            }
        }
        Ok(Decision::Unavailable)
    }

    /// Frees a call's hold; no hold is placed for the call after it, also where Redis loses its memory:
    /// each void is journaled, whether or not it frees a hold, and when it is repeated. False: Redis is
    /// lost, or too much waits to be journaled; ask again.
    ///
    /// # Errors
    /// As [`Self::authorize`].
    pub async fn void(
        &self,
        account: &AccountId,
        call_sid: &CallSid,
    ) -> Result<bool, BalanceError> {
        match self.void_once(&Void { account, call_sid, twilio_account_sid: None }).await {
            Err(error) if error.is_lost() => Ok(false),
            voided => Ok(voided?.is_some()),
        }
    }

    /// Frees the hold of a call that came to nothing, as the stream tells. False: try again later.
    pub(super) async fn void_from_stream(
        &self,
        sid: &TwilioAccountSid,
        call_sid: &CallSid,
    ) -> Result<bool, BalanceError> {
        let Some(mut account) = self.account_of(sid).await? else { return Ok(true) };
        for _ in 0..ATTEMPTS_MAX {
            let void = Void { account: &account, call_sid, twilio_account_sid: Some(sid) };
            match self.void_once(&void).await? {
                Some(Voided::Voided { .. }) => return Ok(true),
                Some(Voided::Unknown { why }) if why == "moved" => {
                    match self.account_after_move(sid, &account).await? {
                        Some(payer) => account = payer,
                        None => return Ok(true),
                    }
                }
                Some(Voided::Unknown { .. }) => {
                    if !self.load(&account).await? {
                        return Ok(true);
                    }
                }
                None => return Ok(false),
            }
        }
        Ok(false)
    }

    /// Voids, once more where Redis was lost, and notes it in the journal: each void, whether or not it
    /// freed a hold, for a first attempt that was lost may have freed it and told nobody. `None`: too
    /// much waits to be journaled.
    async fn void_once(&self, void: &Void<'_>) -> Result<Option<Voided>, BalanceError> {
        let asked_at = Instant::now();
        let voided = match self.ask(void).await {
            Err(error) if error.is_lost() => self.ask(void).await?,
            voided => voided?,
        };
        let is_noted = match voided {
            Voided::Voided { revision, .. } => {
                self.0.journal.voided(void.account, void.call_sid, revision, asked_at)
            }
            Voided::Unknown { .. } => true,
        };
        Ok(is_noted.then_some(voided))
    }
}
