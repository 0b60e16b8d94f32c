//! The caller of `extend.lua`.

use callmeter_core::domain::{AccountId, CallSid};
use redis::{Cmd, Value};

use super::place::{PlacedHold, read_held};
use super::reply::Reply;
use super::request::{Name, Request};
use super::unknown::Unknown;
use crate::balance::model::{BalanceError, HoldSettings};

/// Lets a call that has a hold go on for longer.
#[derive(Clone, Debug)]
pub struct Extend<'a> {
    /// Whose call.
    pub account: &'a AccountId,
    /// Id of this request; a retry has the same.
    pub operation: &'a str,
    /// The call.
    pub call_sid: &'a CallSid,
    /// The call's total since answer, in seconds.
    pub asked_seconds: u32,
    /// Settings of holds.
    pub settings: &'a HoldSettings,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Extended {
    /// The hold; `is_new` if it changed.
    Held(PlacedHold),
    /// The call has ended.
    Settled,
    /// It has no hold.
    Absent,
    /// The account must be loaded first.
    Unknown(Unknown),
}

impl Request for Extend<'_> {
    type Reply = Extended;
    const SCRIPT: Name = Name::Extend;

    fn account(&self) -> &AccountId {
        self.account
    }

    fn arguments(&self, command: &mut Cmd) {
        command.arg(self.operation).arg(self.call_sid.as_str()).arg(self.asked_seconds);
        command.arg(self.settings.granted_seconds_max);
        command.arg(self.settings.ring_seconds).arg(self.settings.grace_seconds);
        command.arg(self.settings.expired_per_step_max);
    }

    fn read(value: Value) -> Result<Extended, BalanceError> {
        let (word, mut reply) = Reply::new("extend", value)?;
        match word.as_str() {
            "held" => read_held(&mut reply).map(Extended::Held),
            "settled" => Ok(Extended::Settled),
            "absent" => Ok(Extended::Absent),
            "unknown" => Unknown::read(&mut reply).map(Extended::Unknown),
            other => Err(reply.unreadable(other)),
        }
    }
}
