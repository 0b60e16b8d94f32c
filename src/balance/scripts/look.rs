//! The caller of `look.lua`.

use callmeter_core::domain::{AccountId, Money};
use redis::{Cmd, Value};

use super::reply::Reply;
use super::{LOOK, Request, Source};
use crate::balance::error::BalanceError;
use crate::balance::hold::CycleRef;

/// Looks at what the calls in progress of an account hold.
#[derive(Clone, Debug)]
pub struct Look<'a> {
    /// Whose calls.
    pub account: &'a AccountId,
}

/// What they hold, as Redis knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Looked {
    /// Version of the ledger that Redis has projected.
    pub version: i64,
    /// How many they are.
    pub holds: i64,
    /// Money.
    pub money: Money,
    /// Seconds of the allowance of each cycle.
    pub cycles: Vec<(CycleRef, u64)>,
}

impl Request for Look<'_> {
    /// `None`: the account is not in Redis.
    type Reply = Option<Looked>;

    fn account(&self) -> &AccountId {
        self.account
    }

    fn source(&self) -> &'static Source {
        &LOOK
    }

    fn arguments(&self, _: &mut Cmd) {}

    fn read(value: Value) -> Result<Option<Looked>, BalanceError> {
        let (word, mut reply) = Reply::of("look", value)?;
        match word.as_str() {
            "standing" => {
                let (version, holds) = (reply.number()?, reply.number()?);
                let money = Money::from_micros(reply.number()?);
                let mut cycles = Vec::new();
                for _ in 0..reply.number()? / 2 {
                    let cycle = reply.text()?;
                    let cycle = CycleRef::parse(&cycle).ok_or_else(|| reply.unreadable(&cycle))?;
                    cycles.push((cycle, u64::try_from(reply.number()?).unwrap_or_default()));
                }
                Ok(Some(Looked { version, holds, money, cycles }))
            }
            "unknown" => Ok(None),
            other => Err(reply.unreadable(other)),
        }
    }
}
