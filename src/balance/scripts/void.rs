//! The caller of `void.lua`.

use callmeter_core::domain::{AccountId, CallSid, TwilioAccountSid};
use redis::{Cmd, Value};

use super::reply::Reply;
use super::request::{Name, Request};
use super::unknown::Unknown;
use crate::balance::model::BalanceError;

/// Voids a call: frees its hold, and the call gets none again.
#[derive(Clone, Debug)]
pub struct Void<'a> {
    /// Whose call.
    pub account: &'a AccountId,
    /// The call.
    pub call_sid: &'a CallSid,
    /// The `AccountSid` by which the account was found.
    pub twilio_account_sid: Option<&'a TwilioAccountSid>,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Voided {
    /// The call holds nothing.
    Voided {
        /// False only if there certainly was no hold.
        was_held: bool,
        /// Greater than the hold's own revision.
        revision: i64,
    },
    /// Only for an `AccountSid`: the account must be loaded first, or is not the one that pays.
    Unknown(Unknown),
}

impl Request for Void<'_> {
    type Reply = Voided;
    const SCRIPT: Name = Name::Void;

    fn account(&self) -> &AccountId {
        self.account
    }

    fn arguments(&self, command: &mut Cmd) {
        command.arg(self.call_sid.as_str());
        command.arg(self.twilio_account_sid.map_or("", TwilioAccountSid::as_str));
    }

    fn read(value: Value) -> Result<Voided, BalanceError> {
        let (word, mut reply) = Reply::new("void", value)?;
        match word.as_str() {
            "voided" => Ok(Voided::Voided { was_held: reply.flag()?, revision: reply.number()? }),
            "unknown" => Unknown::read(&mut reply).map(Voided::Unknown),
            other => Err(reply.unreadable(other)),
        }
    }
}
