//! The caller of `expire.lua`.

use callmeter_core::domain::{AccountId, Money};
use redis::{Cmd, Value};

use super::reply::Reply;
use super::request::{Name, Request};
use crate::balance::model::{BalanceError, CycleRef};

/// Releases holds that are due, and reads the account's state.
#[derive(Clone, Debug)]
pub struct Expire<'a> {
    /// Whose holds.
    pub account: &'a AccountId,
    /// The most to release; 0: look only.
    pub most: u32,
}

/// Reads the account's state, and releases nothing.
pub const fn inspect(account: &AccountId) -> Expire<'_> {
    Expire { account, most: 0 }
}

/// An account's state in Redis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Holds that any script released since the last such report; 0 for a look.
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
    /// For a look: held allowance seconds of each cycle.
    pub cycles: Vec<(CycleRef, u64)>,
    /// How far back ended calls were loaded after a loss; `None`: all of them are known.
    pub unsure: Option<String>,
}

impl Request for Expire<'_> {
    /// `None`: the account is not in Redis.
    type Reply = Option<Standing>;
    const SCRIPT: Name = Name::Expire;

    fn account(&self) -> &AccountId {
        self.account
    }

    fn arguments(&self, command: &mut Cmd) {
        command.arg(self.most);
    }

    fn read(value: Value) -> Result<Option<Standing>, BalanceError> {
        let (word, mut reply) = Reply::new("expire", value)?;
        match word.as_str() {
            "standing" => {
                let mut standing = Standing {
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
                    cycles: Vec::with_capacity(reply.left() / 2),
                };
                while reply.left() > 0 {
                    let cycle = reply.text()?;
                    let cycle = CycleRef::parse(&cycle).ok_or_else(|| reply.unreadable(&cycle))?;
                    standing
                        .cycles
                        .push((cycle, u64::try_from(reply.number()?).unwrap_or_default()));
                }
                Ok(Some(standing))
            }
            "unknown" => Ok(None),
            other => Err(reply.unreadable(other)),
        }
    }
}
