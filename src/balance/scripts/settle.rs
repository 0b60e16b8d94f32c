//! The caller of `settle.lua`.

use callmeter_core::domain::{AccountId, AccountStatus, CallSid, Money, TwilioAccountSid};
use callmeter_core::policy::budget::BudgetStop;
use redis::{Cmd, Value};

use super::budget::written;
use super::reply::Reply;
use super::request::{Name, Request, list, pairs};
use crate::balance::model::{BalanceError, CycleRef};

/// Projects a wallet from one version to a later one.
#[derive(Clone, Debug)]
pub struct Settle<'a> {
    /// Whose wallet.
    pub account: &'a AccountId,
    /// Every change after this version is in here.
    pub from_version: i64,
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
    /// The rest of the account, if it may have changed.
    pub whole: Option<WholeAccount<'a>>,
    /// Used seconds of the cycles that changed.
    pub cycles: &'a [(CycleRef, u64)],
    /// Every call that was charged after `from_version`.
    pub call_sids: &'a [CallSid],
}

/// The part of an account that administrators change.
#[derive(Clone, Copy, Debug)]
pub struct WholeAccount<'a> {
    /// Open or closed.
    pub status: AccountStatus,
    /// Maximum of calls in progress.
    pub calls_in_progress_max: Option<i32>,
    /// Revision of the document.
    pub terms_revision: &'a str,
    /// The document.
    pub document: &'a str,
    /// The Twilio accounts that it pays for.
    pub twilio_account_sids: &'a [TwilioAccountSid],
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// Redis is at the version now.
    Projected {
        /// Holds that were settled.
        holds: i64,
    },
    /// Redis had this version or a later one already.
    Stale,
    /// Redis is further back than `from_version`.
    Gap {
        /// The version it has.
        version: i64,
        /// The number of the last charge it knows.
        charge_sequence: i64,
    },
    /// The wallet is not in Redis.
    Unknown,
    /// The ledger's incarnation is newer than the caller knows.
    Newer {
        /// The incarnation.
        incarnation: i64,
    },
}

impl Request for Settle<'_> {
    type Reply = Settled;
    const SCRIPT: Name = Name::Settle;

    fn account(&self) -> &AccountId {
        self.account
    }

    fn arguments(&self, command: &mut Cmd) {
        command.arg(self.from_version).arg(self.version).arg(self.charge_sequence);
        command.arg(self.balance.micros()).arg(self.credit_limit.micros());
        command.arg(u8::from(self.whole.is_some()));
        let sids = if let Some(whole) = &self.whole {
            whole.arguments(command);
            whole.twilio_account_sids
        } else {
            command.arg(&["", "", "", ""]);
            &[]
        };
        command.arg(written(self.budget));
        pairs(command, self.cycles.iter().map(|(cycle, used)| (cycle.to_string(), *used)));
        list(command, sids.iter().map(TwilioAccountSid::as_str));
        list(command, self.call_sids.iter().map(CallSid::as_str));
    }

    fn read(value: Value) -> Result<Settled, BalanceError> {
        let (word, mut reply) = Reply::new("settle", value)?;
        match word.as_str() {
            "projected" => Ok(Settled::Projected { holds: reply.number()? }),
            "stale" => Ok(Settled::Stale),
            "gap" => {
                Ok(Settled::Gap { version: reply.number()?, charge_sequence: reply.number()? })
            }
            "unknown" => Ok(Settled::Unknown),
            "newer" => Ok(Settled::Newer { incarnation: reply.number()? }),
            other => Err(reply.unreadable(other)),
        }
    }
}

impl WholeAccount<'_> {
    /// Adds status, maximum of calls, revision and document.
    pub(super) fn arguments(&self, command: &mut Cmd) {
        command.arg(self.status.as_str());
        match self.calls_in_progress_max {
            Some(most) => command.arg(most),
            None => command.arg(""),
        };
        command.arg(self.terms_revision).arg(self.document);
    }
}
