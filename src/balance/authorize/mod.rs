//! May a call go ahead, go on, or is it given up? The use cases behind the authorization API and behind
//! status events.

mod extend;
mod fallback;
mod from_stream;
mod place;
mod placing;
mod void;

use callmeter_core::domain::{AccountId, CallSid, Money, RatePerMinute, TwilioAccountSid};
use chrono::{DateTime, Utc};

use crate::balance::model::{BalanceError, CallEnds, Hold};
use crate::balance::scripts::Denial;
use crate::balance::state::Balance;

/// How often an authorization is tried: an account is loaded, terms are computed anew.
const ATTEMPTS_MAX: u32 = 8;

/// Whose call it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payer<'a> {
    /// By our own id.
    Account(&'a AccountId),
    /// By the Twilio account.
    TwilioAccount(&'a TwilioAccountSid),
    /// By our own id, where it is this account that pays for the Twilio account; else by nobody.
    AccountOf(&'a AccountId, &'a TwilioAccountSid),
}

/// A call that asks to go ahead.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// Whose it is.
    pub payer: Payer<'a>,
    /// The call.
    pub call_sid: &'a CallSid,
    /// Its ends.
    pub ends: CallEnds<'a>,
    /// How long it would like to last, in seconds since its answer.
    pub seconds: u32,
    /// What the caller files it under, a campaign say: kept for the call's charge.
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
        /// The money missing; zero where money would not help.
        shortfall: Money,
    },
    /// Holds are unknown right now: neither allowed nor denied.
    Unavailable,
    /// No such account, or for an extension no such hold.
    NotFound,
}

/// What a call was allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// The call's total since answer, in seconds.
    pub granted_seconds: u32,
    /// Until when it holds.
    pub valid_until: DateTime<Utc>,
    /// Whether no more can be had now.
    pub is_final: bool,
    /// The rate per minute beyond the allowance.
    pub rate: RatePerMinute,
}

impl<'a> Payer<'a> {
    /// The Twilio account by which it was named.
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
    /// Looks up anew who pays for a Twilio account, after the wallet of `asked` did not know it.
    async fn payer_after_move(
        &self,
        sid: &TwilioAccountSid,
        asked: &AccountId,
    ) -> Result<Option<AccountId>, BalanceError> {
        let payer = self.payer_in_ledger(sid).await?;
        if payer.as_ref() == Some(asked) {
            // It was linked to the account that was asked: Redis has not heard of it yet.
            self.refresh(asked).await?;
        }
        Ok(payer)
    }
}
