//! Decides whether a call may go ahead or go on, and voids it: the use cases behind the
//! authorization API and behind status events.

mod extend;
mod fallback;
mod from_stream;
mod place;
mod placing;
mod void;

use callmeter_core::domain::{AccountId, CallSid, Money, RatePerMinute, TwilioAccountSid};
use chrono::{DateTime, Utc};

use crate::balance::model::{BalanceError, CallParties, Denial, Hold};
use crate::balance::state::Balance;

/// Attempts of an authorization: between them an account is loaded or terms are computed again.
const ATTEMPTS_MAX: u32 = 8;

/// Whose call it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payer<'a> {
    /// By our own id.
    Account(&'a AccountId),
    /// By the Twilio account.
    TwilioAccount(&'a TwilioAccountSid),
    /// By our own id, and only if this account pays for the Twilio account.
    AccountOf(&'a AccountId, &'a TwilioAccountSid),
}

/// A call that asks to go ahead.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// Whose it is.
    pub payer: Payer<'a>,
    /// The call.
    pub call_sid: &'a CallSid,
    /// Its parties.
    pub parties: CallParties<'a>,
    /// How long it asks to last, in seconds since its answer.
    pub seconds: u32,
    /// The caller's tag, a campaign for example: kept for the call's charge.
    pub tag: Option<&'a str>,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It may go ahead.
    Allow(Allowance),
    /// It may not.
    Deny {
        /// Why.
        reason: Denial,
        /// The missing money; zero if money would not help.
        shortfall: Money,
    },
    /// Holds are unknown right now: neither allowed nor denied.
    Unavailable,
    /// There is no such account, or for an extension no such hold.
    NotFound,
}

/// What a call was allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// The call's total since answer, in seconds.
    pub granted_seconds: u32,
    /// Until when the call may start and use it.
    pub valid_until: DateTime<Utc>,
    /// Whether no more can be had now.
    pub is_final: bool,
    /// The rate per minute beyond the allowance.
    pub rate: RatePerMinute,
}

impl<'a> Payer<'a> {
    /// The Twilio account that names it.
    const fn twilio_account(self) -> Option<&'a TwilioAccountSid> {
        match self {
            Self::Account(_) => None,
            Self::TwilioAccount(sid) | Self::AccountOf(_, sid) => Some(sid),
        }
    }
}

impl From<&Hold> for Allowance {
    fn from(hold: &Hold) -> Self {
        Self {
            granted_seconds: hold.granted_seconds,
            valid_until: hold.valid_until,
            is_final: hold.is_final,
            rate: hold.rate,
        }
    }
}

impl Balance {
    /// Looks up again who pays for a Twilio account, after the wallet of `asked` did not have it.
    async fn payer_after_move(
        &self,
        sid: &TwilioAccountSid,
        asked: &AccountId,
    ) -> Result<Option<AccountId>, BalanceError> {
        let payer = self.payer_in_ledger(sid).await?;
        if payer.as_ref() == Some(asked) {
            // It is linked to that very account, and Redis does not have the link yet.
            self.refresh(asked).await?;
        }
        Ok(payer)
    }
}
