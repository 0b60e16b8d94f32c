//! The caller of `remember.lua`.

use callmeter_core::domain::{AccountId, CallSid};
use redis::{Cmd, Value};

use super::reply::Reply;
use super::request::{Name, Request, list};
use crate::balance::model::BalanceError;

/// Brings back ended calls that did not fit into a load.
#[derive(Clone, Debug)]
pub struct Remember<'a> {
    /// Whose calls.
    pub account: &'a AccountId,
    /// The mark from which these were read on.
    pub unsure: &'a str,
    /// The next mark; `None`: all ended calls are there.
    pub next: Option<&'a str>,
    /// The calls.
    pub settled: &'a [CallSid],
}

impl Request for Remember<'_> {
    /// Whether the mark moved; false: another process moved it, or the account is not in Redis.
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
