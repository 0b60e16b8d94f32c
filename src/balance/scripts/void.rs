//! The caller of `void.lua`.

use callmeter_core::domain::{AccountId, CallSid};
use redis::{Cmd, Value};

use super::reply::Reply;
use super::{Request, Source, VOID};
use crate::balance::error::BalanceError;

/// Frees a call's hold for good.
#[derive(Clone, Debug)]
pub struct Void<'a> {
    /// Whose call.
    pub account: &'a AccountId,
    /// The call.
    pub call_sid: &'a CallSid,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Voided {
    /// False where it is certain that there was no hold.
    pub was_held: bool,
    /// Greater than the hold's own revision.
    pub revision: i64,
}

impl Request for Void<'_> {
    type Reply = Voided;

    fn account(&self) -> &AccountId {
        self.account
    }

    fn source(&self) -> &'static Source {
        &VOID
    }

    fn arguments(&self, command: &mut Cmd) {
        command.arg(self.call_sid.as_str());
    }

    fn read(value: Value) -> Result<Voided, BalanceError> {
        let (word, mut reply) = Reply::of("void", value)?;
        match word.as_str() {
            "voided" => Ok(Voided { was_held: reply.flag()?, revision: reply.number()? }),
            other => Err(reply.unreadable(other)),
        }
    }
}
