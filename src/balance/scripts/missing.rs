//! The caller of `missing.lua`.

use callmeter_core::domain::{AccountId, CallSid};
use redis::{Cmd, Value};

use super::reply::Reply;
use super::request::{Name, Request, list};
use crate::balance::model::BalanceError;

/// Asks which of some calls have neither a hold nor an end in Redis.
#[derive(Clone, Debug)]
pub struct Missing<'a> {
    /// Whose calls.
    pub account: &'a AccountId,
    /// The calls.
    pub call_sids: &'a [CallSid],
}

impl Request for Missing<'_> {
    /// `CallSids`; empty if the account is not in Redis.
    type Reply = Vec<String>;
    const SCRIPT: Name = Name::Missing;

    fn account(&self) -> &AccountId {
        self.account
    }

    fn arguments(&self, command: &mut Cmd) {
        list(command, self.call_sids.iter().map(CallSid::as_str));
    }

    fn read(value: Value) -> Result<Vec<String>, BalanceError> {
        let (word, mut reply) = Reply::new("missing", value)?;
        match word.as_str() {
            "missing" => {
                let mut missing = Vec::with_capacity(reply.left());
                while reply.left() > 0 {
                    missing.push(reply.text()?);
                }
                Ok(missing)
            }
            "unknown" => Ok(Vec::new()),
            other => Err(reply.unreadable(other)),
        }
    }
}
