//! The caller of `remember.lua`.

use callmeter_core::domain::{AccountId, CallSid};
use redis::{Cmd, Value};

use super::reply::Reply;
use super::request::{Name, Request, list};
use crate::balance::model::BalanceError;

/// Brings back calls that are over, which a load had no room for.
#[derive(Clone, Debug)]
pub struct Remember<'a> {
    /// Whose calls.
    pub account: &'a AccountId,
    /// How far back they were read when this was read on.
    pub unsure: &'a str,
    /// How far they are now; `None`: all are there.
    pub next: Option<&'a str>,
    /// The calls.
    pub settled: &'a [CallSid],
}

impl Request for Remember<'_> {
    /// Whether the mark was moved; false: others did, or the account is not in Redis.
    type Reply = bool;
    const SCRIPT: Name = Name::Remember;

    fn account(&self) -> &AccountId {
        self.account
    }

    fn arguments(&self, command: &mut Cmd) {
        command.arg(self.unsure).arg(self.next.unwrap_or_default());
        list(command, self.settled.iter().map(CallSid::as_str));
    }

    fn read(value: Value) -> Result<bool, BalanceError> {
        let (word, reply) = Reply::new("remember", value)?;
        match word.as_str() {
            "remembered" => Ok(true),
            "changed" | "unknown" => Ok(false),
            other => Err(reply.unreadable(other)),
        }
    }
}
