//! The caller of `restore.lua`.

use callmeter_core::domain::{AccountId, CallSid, Money};
use redis::{Cmd, Value};

use super::reply::Reply;
use super::request::{Name, Request};
use crate::balance::model::{BalanceError, Hold};

/// Puts a hold back that Redis lost before it was journaled, or adds one granted without Redis.
#[derive(Clone, Debug)]
pub struct Restore<'a> {
    /// Whose call.
    pub account: &'a AccountId,
    /// The call.
    pub call_sid: &'a CallSid,
    /// The hold.
    pub hold: &'a Hold,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restored {
    /// It is back.
    Restored {
        /// By how much the money held now exceeds the pool.
        beyond: Money,
    },
    /// The call has it or a later one, or it was never lost.
    Standing,
    /// It was missing until it was no longer needed.
    Over,
    /// The account is not in Redis.
    Unknown,
}

impl Request for Restore<'_> {
    type Reply = Restored;
    const SCRIPT: Name = Name::Restore;

    fn account(&self) -> &AccountId {
        self.account
    }

    fn arguments(&self, command: &mut Cmd) {
        command.arg(self.call_sid.as_str()).arg(self.hold.pack());
    }

    fn read(value: Value) -> Result<Restored, BalanceError> {
        let (word, mut reply) = Reply::new("restore", value)?;
        match word.as_str() {
            "restored" => Ok(Restored::Restored { beyond: Money::from_micros(reply.number()?) }),
            "standing" => Ok(Restored::Standing),
            "over" => Ok(Restored::Over),
            "unknown" => Ok(Restored::Unknown),
            other => Err(reply.unreadable(other)),
        }
    }
}
