//! The caller of `place.lua`.

use callmeter_core::domain::{AccountId, CallSid, Money, TwilioAccountSid};
use redis::{Cmd, Value};

use super::reply::Reply;
use super::request::{Name, Request};
use super::unknown::Unknown;
use crate::balance::model::{
    BalanceError, CallTerms, CycleRef, Denial, Hold, HoldSettings, HoldSource,
};

/// Reserves allowance and money for a call.
#[derive(Clone, Debug)]
pub struct Place<'a> {
    /// Whose call.
    pub account: &'a AccountId,
    /// Id of this request; a retry has the same.
    pub operation: &'a str,
    /// The call.
    pub call_sid: &'a CallSid,
    /// Who asks.
    pub source: HoldSource,
    /// Revision of the account's document that the terms are of.
    pub terms_revision: &'a str,
    /// The `AccountSid` by which the account was found.
    pub twilio_account_sid: Option<&'a TwilioAccountSid>,
    /// The current terms.
    pub terms: &'a CallTerms,
    /// Seconds asked for.
    pub asked_seconds: u32,
    /// Settings of holds.
    pub settings: &'a HoldSettings,
    /// The ledger and the journal say that the call has not ended.
    pub is_new: bool,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placed {
    /// The call has a hold.
    Held(PlacedHold),
    /// It may not go ahead.
    Denied {
        /// Why.
        reason: Denial,
        /// The missing money; zero if money would not help.
        shortfall: Money,
        /// Internal key of the account.
        account_key: i32,
    },
    /// The terms were computed from another document than the account's: compute them again.
    Stale {
        /// Revision of the document.
        revision: String,
        /// The account's document.
        document: String,
    },
    /// Not all ended calls are known: look this one up.
    Unsure,
    /// The account must be loaded first.
    Unknown(Unknown),
}

/// A hold that stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacedHold {
    /// False if it existed before and is returned again.
    pub is_new: bool,
    /// The hold.
    pub hold: Hold,
    /// Internal key of the account.
    pub account_key: i32,
}

impl Request for Place<'_> {
    type Reply = Placed;
    const SCRIPT: Name = Name::Place;
    const KEYS: usize = 7;

    fn account(&self) -> &AccountId {
        self.account
    }

    fn arguments(&self, command: &mut Cmd) {
        let (terms, settings) = (self.terms, self.settings);
        command.arg(self.operation).arg(self.call_sid.as_str()).arg(self.source.as_str());
        command.arg(self.terms_revision);
        command.arg(self.twilio_account_sid.map_or("", TwilioAccountSid::as_str));
        // Each argument costs Redis as much as a small command, so numbers share one.
        command.arg(format!(
            "{} {} {} {} {} {}",
            CycleRef::word(terms.cycle),
            terms.included_seconds,
            terms.rate.micros(),
            terms.increments.initial(),
            terms.increments.increment(),
            u8::from(terms.blocks_overage)
        ));
        command.arg(format!(
            "{} {} {} {} {} {} {}",
            self.asked_seconds,
            settings.granted_seconds_max,
            settings.ring_seconds,
            settings.grace_seconds,
            settings.expired_per_step_max,
            u8::from(terms.is_destination_blocked),
            u8::from(self.is_new)
        ));
    }

    fn read(value: Value) -> Result<Placed, BalanceError> {
        let (word, mut reply) = Reply::new("place", value)?;
        match word.as_str() {
            "held" => read_held(&mut reply).map(Placed::Held),
            "denied" => {
                let reason = reply.text()?;
                let reason = Denial::parse(&reason).ok_or_else(|| reply.unreadable(&reason))?;
                let shortfall = Money::from_micros(reply.number()?);
                Ok(Placed::Denied { reason, shortfall, account_key: read_account_key(&mut reply)? })
            }
            "stale" => Ok(Placed::Stale { revision: reply.text()?, document: reply.text()? }),
            "unsure" => Ok(Placed::Unsure),
            "unknown" => Unknown::read(&mut reply).map(Placed::Unknown),
            other => Err(reply.unreadable(other)),
        }
    }
}

/// Reads `{1 or 0, packed hold, account key}`.
pub(super) fn read_held(reply: &mut Reply) -> Result<PlacedHold, BalanceError> {
    let is_new = reply.flag()?;
    let hold = Hold::unpack(&reply.text()?)?;
    Ok(PlacedHold { is_new, hold, account_key: read_account_key(reply)? })
}

fn read_account_key(reply: &mut Reply) -> Result<i32, BalanceError> {
    i32::try_from(reply.number()?).map_err(|_| reply.unreadable("no account key"))
}
