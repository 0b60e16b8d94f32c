//! The caller of `load.lua`.

use callmeter_core::domain::{AccountId, CallSid, Money, TwilioAccountSid};
use callmeter_core::policy::budget::BudgetStop;
use redis::{Cmd, Value};

use super::budget::written;
use super::reply::Reply;
use super::request::{Name, Request, list, pairs};
use super::settle::WholeAccount;
use crate::balance::model::{BalanceError, CycleRef, Hold};

/// Puts an account into Redis, from one snapshot of the ledger and the journal.
#[derive(Clone, Debug)]
pub struct Load<'a> {
    /// Whose wallet.
    pub account: &'a AccountId,
    /// The ticket that [`Announce`](super::Announce) returned before any of this was read.
    pub ticket: &'a str,
    /// Internal key of the account.
    pub account_key: i32,
    /// The version that this is.
    pub version: i64,
    /// Number of the last charge.
    pub charge_sequence: i64,
    /// Balance.
    pub balance: Money,
    /// Credit limit.
    pub credit_limit: Money,
    /// What is left of a budget that stops calls.
    pub budget: Option<BudgetStop>,
    /// The rest of the account.
    pub whole: WholeAccount<'a>,
    /// Used seconds of the cycles that a call may still draw on.
    pub cycles: &'a [(CycleRef, u64)],
    /// Holds of the journal that are neither charged nor voided.
    pub holds: &'a [(CallSid, Hold)],
    /// Ended calls.
    pub settled: &'a [CallSid],
    /// How far back those were read; `None`: the last day is complete.
    pub unsure: Option<&'a str>,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loaded {
    /// The account is in Redis.
    Loaded {
        /// Holds that were brought back.
        holds: i64,
    },
    /// It was there, at this version or a newer one.
    Current,
    /// It was there, at an older version: project on it.
    Gap {
        /// The version it has.
        version: i64,
        /// The number of the last charge it knows.
        charge_sequence: i64,
    },
    /// A later version was projected meanwhile: read the ledger again.
    Behind,
    /// Redis lost its memory since the load was announced: announce it again.
    Forgotten,
    /// The ledger's incarnation is newer than the caller knows.
    Newer {
        /// The incarnation.
        incarnation: i64,
    },
}

impl Request for Load<'_> {
    type Reply = Loaded;
    const SCRIPT: Name = Name::Load;

    fn account(&self) -> &AccountId {
        self.account
    }

    fn arguments(&self, command: &mut Cmd) {
        command.arg(self.version).arg(self.charge_sequence);
        command.arg(self.balance.micros()).arg(self.credit_limit.micros());
        self.whole.arguments(command);
        command.arg(self.account_key).arg(self.ticket).arg(self.unsure.unwrap_or_default());
        command.arg(written(self.budget));
        pairs(command, self.cycles.iter().map(|(cycle, used)| (cycle.to_string(), *used)));
        list(command, self.whole.twilio_account_sids.iter().map(TwilioAccountSid::as_str));
        pairs(command, self.holds.iter().map(|(call_sid, hold)| (call_sid.as_str(), hold.pack())));
        list(command, self.settled.iter().map(CallSid::as_str));
    }

    fn read(value: Value) -> Result<Loaded, BalanceError> {
        let (word, mut reply) = Reply::new("load", value)?;
        match word.as_str() {
            "loaded" => Ok(Loaded::Loaded { holds: reply.number()? }),
            "current" => Ok(Loaded::Current),
            "gap" => Ok(Loaded::Gap { version: reply.number()?, charge_sequence: reply.number()? }),
            "behind" => Ok(Loaded::Behind),
            "forgotten" => Ok(Loaded::Forgotten),
            "newer" => Ok(Loaded::Newer { incarnation: reply.number()? }),
            other => Err(reply.unreadable(other)),
        }
    }
}
