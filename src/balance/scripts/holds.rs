//! The caller of `holds.lua`.

use callmeter_core::domain::AccountId;
use redis::{Cmd, Value};

use super::reply::Reply;
use super::request::{Name, Request};
use crate::balance::model::{BalanceError, Hold};

/// Reads an account's holds, some at a time.
#[derive(Clone, Debug)]
pub struct Holds<'a> {
    /// Whose holds.
    pub account: &'a AccountId,
    /// Where to read on; `0` begins.
    pub cursor: &'a str,
    /// About how many.
    pub count: usize,
}

/// Some holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SomeHolds {
    /// Where to read on; `None`: these were the last.
    pub cursor: Option<String>,
    /// `CallSids` with their holds.
    pub holds: Vec<(String, Hold)>,
}

impl Request for Holds<'_> {
    /// Empty if the account is not in Redis.
    type Reply = SomeHolds;
    const SCRIPT: Name = Name::Holds;

    fn account(&self) -> &AccountId {
        self.account
    }

    fn arguments(&self, command: &mut Cmd) {
        command.arg(self.cursor).arg(self.count);
    }

    fn read(value: Value) -> Result<SomeHolds, BalanceError> {
        let (word, mut reply) = Reply::new("holds", value)?;
        match word.as_str() {
            "holds" => {
                let cursor = Some(reply.text()?).filter(|cursor| cursor != "0");
                let mut holds = Vec::with_capacity(reply.left() / 2);
                while reply.left() > 0 {
                    let call_sid = reply.text()?;
                    holds.push((call_sid, Hold::unpack(&reply.text()?)?));
                }
                Ok(SomeHolds { cursor, holds })
            }
            "unknown" => Ok(SomeHolds::default()),
            other => Err(reply.unreadable(other)),
        }
    }
}
