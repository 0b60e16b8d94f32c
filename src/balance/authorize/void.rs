//! Voids a call: frees its hold, and the call gets none again.

use callmeter_core::domain::{AccountId, CallSid, TwilioAccountSid};
use tokio::time::Instant;

use super::ATTEMPTS_MAX;
use crate::balance::model::BalanceError;
use crate::balance::scripts::{Unknown, Void, Voided};
use crate::balance::state::Balance;

impl Balance {
    /// Frees a call's hold. The call gets no hold afterwards, even if Redis loses its memory: each
    /// void is journaled, also one that frees nothing and one that is repeated. False: Redis is
    /// lost, or too much waits to be journaled; try again.
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

    /// Frees the hold of a call that came to nothing, by the stream. False: try again later.
    pub(super) async fn void_from_stream(
        &self,
        sid: &TwilioAccountSid,
        call_sid: &CallSid,
    ) -> Result<bool, BalanceError> {
        let Some(mut account) = self.payer_of(sid).await? else { return Ok(true) };
        for _ in 0..ATTEMPTS_MAX {
            let void = Void { account: &account, call_sid, twilio_account_sid: Some(sid) };
            match self.void_once(&void).await? {
                Some(Voided::Voided { .. }) => return Ok(true),
                Some(Voided::Unknown(Unknown::Moved)) => {
                    match self.payer_after_move(sid, &account).await? {
                        Some(payer) => account = payer,
                        None => return Ok(true),
                    }
                }
                Some(Voided::Unknown(_)) => {
                    if !self.load(&account).await? {
                        return Ok(true);
                    }
                }
                None => return Ok(false),
            }
        }
        Ok(false)
    }

    /// Voids, with one retry if Redis was lost, and journals it. Each void is journaled, even one
    /// that freed no hold, because a first attempt without an answer may have freed it. `None`: too
    /// much waits to be journaled.
    async fn void_once(&self, void: &Void<'_>) -> Result<Option<Voided>, BalanceError> {
        let asked_at = Instant::now();
        let voided = self.0.redis.ask_twice(void).await?;
        let is_noted = match voided {
            Voided::Voided { revision, .. } => {
                self.0.journal.voided(void.account, void.call_sid, revision, asked_at)
            }
            Voided::Unknown(_) => true,
        };
        Ok(is_noted.then_some(voided))
    }
}
