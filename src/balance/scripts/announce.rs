//! The caller of `announce.lua`.

use callmeter_core::domain::AccountId;
use redis::{Cmd, Value};

use super::reply::Reply;
use super::request::{Name, Request};
use crate::balance::model::BalanceError;

/// Announces the load of an account. The answer is a ticket, which the load brings along. The
/// ticket is gone if Redis has lost its memory since.
#[derive(Clone, Copy, Debug)]
pub struct Announce<'a> {
    /// Whose wallet.
    pub account: &'a AccountId,
}

impl Request for Announce<'_> {
    type Reply = String;
    const SCRIPT: Name = Name::Announce;

    fn account(&self) -> &AccountId {
        self.account
    }

    fn arguments(&self, command: &mut Cmd) {
        command.arg(uuid::Uuid::now_v7().simple().to_string());
    }

    fn read(value: Value) -> Result<String, BalanceError> {
        let (word, mut reply) = Reply::new("announce", value)?;
        match word.as_str() {
            "announced" => reply.text(),
            other => Err(reply.unreadable(other)),
        }
    }
}
