//! The caller of `expire.lua`.

use callmeter_core::domain::{AccountId, Money};
use redis::{Cmd, Value};

use super::reply::Reply;
use super::{EXPIRE, Request, Source};
use crate::balance::error::BalanceError;

/// Releases holds that are due, and looks how the account stands.
#[derive(Clone, Debug)]
pub struct Expire<'a> {
    /// Whose holds.
    pub account: &'a AccountId,
    /// The most to release; 0: look only.
    pub most: u32,
}

/// How an account stands in Redis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Holds that were released since the last that were told, by any script; none for a look.
    pub expired: i64,
    /// Incarnation of the ledger that was projected.
    pub incarnation: i64,
    /// Version that was projected.
    pub version: i64,
    /// Number of the last charge that was projected.
    pub charge_sequence: i64,
    /// Holds.
    pub holds: i64,
    /// The money they hold.
    pub held: Money,
    /// Internal key of the account.
    pub account_key: i32,
    /// Balance.
    pub balance: Money,
    /// Credit limit.
    pub credit_limit: Money,
    /// How far calls that are over were brought back after a loss; `None`: all of them are known.
    pub unsure: Option<String>,
}

impl Request for Expire<'_> {
    /// `None`: the account is not in Redis.
    type Reply = Option<Standing>;

    fn account(&self) -> &AccountId {
        self.account
    }

    fn source(&self) -> &'static Source {
        &EXPIRE
    }

    fn arguments(&self, command: &mut Cmd) {
        command.arg(self.most);
    }

    fn read(value: Value) -> Result<Option<Standing>, BalanceError> {
        let (word, mut reply) = Reply::of("expire", value)?;
        match word.as_str() {
            "standing" => Ok(Some(Standing {
                expired: reply.number()?,
                incarnation: reply.number()?,
                version: reply.number()?,
                charge_sequence: reply.number()?,
                holds: reply.number()?,
                held: Money::from_micros(reply.number()?),
                account_key: i32::try_from(reply.number()?)
                    .map_err(|_| reply.unreadable("no account key"))?,
                balance: Money::from_micros(reply.number()?),
                credit_limit: Money::from_micros(reply.number()?),
                unsure: Some(reply.text()?).filter(|mark| !mark.is_empty()),
            })),
            "unknown" => Ok(None),
            other => Err(reply.unreadable(other)),
        }
    }
}
