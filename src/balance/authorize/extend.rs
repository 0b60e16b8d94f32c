//! Lets a call that was allowed go on for longer.

use callmeter_core::domain::{AccountId, CallSid, Money};
use tokio::time::Instant;

use super::{ATTEMPTS_MAX, Allowance, Decision};
use crate::balance::model::{BalanceError, Denial};
use crate::balance::scripts::{Extend, Extended, PlacedHold};
use crate::balance::state::Balance;

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
            match self.extend_once(&extend, asked_at).await {
                Ok(Some(decision)) => return Ok(decision),
                Ok(None) => {}
                Err(error) if error.is_lost() && !was_lost => was_lost = true,
                Err(error) if error.is_lost() => return Ok(Decision::Unavailable),
                Err(error) => return Err(error),
            }
        }
        Ok(Decision::Unavailable)
    }

    /// Asks Redis once; `None`: it did not know the account, which is loaded now.
    async fn extend_once(
        &self,
        extend: &Extend<'_>,
        asked_at: Instant,
    ) -> Result<Option<Decision>, BalanceError> {
        let Extend { account, call_sid, .. } = extend;
        Ok(match self.ask_leased(extend).await? {
            Extended::Held(held) => {
                let PlacedHold { hold, is_new, .. } = held;
                let allowance = Allowance::from(&hold);
                self.0.journal.placed(account, call_sid, hold, is_new, asked_at);
                Some(Decision::Allow(allowance))
            }
            Extended::Settled => {
                let reason = Denial::CallAlreadySettled;
                Some(Decision::Deny { reason, shortfall: Money::ZERO })
            }
            Extended::Absent => Some(Decision::NotFound),
            Extended::Unknown(_) => {
                (!Box::pin(self.load(account)).await?).then_some(Decision::NotFound)
            }
        })
    }
}
