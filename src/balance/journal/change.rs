//! What the journal holds, what is read from it, and how its rows are read.

use callmeter_core::domain::{AccountId, CallSid, Money};
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{Row as _, postgres::PgRow};

use crate::balance::model::{BalanceError, GrantedBy, Hold};
use crate::ledger::LedgerError;

/// How long a void is remembered.
const VOID_LIFE: TimeDelta = TimeDelta::days(1);

/// A change of a call's hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// It was placed, or changed.
    Held(Hold),
    /// It was voided.
    Voided {
        /// Greater than the hold's own revision.
        revision: i64,
    },
}

impl Change {
    pub(crate) const fn revision(&self) -> i64 {
        match self {
            Self::Held(hold) => hold.revision,
            Self::Voided { revision } => *revision,
        }
    }

    pub(crate) const fn hold(&self) -> Option<&Hold> {
        match self {
            Self::Held(hold) => Some(hold),
            Self::Voided { .. } => None,
        }
    }

    pub(crate) fn is_granted_by_postgres(&self) -> bool {
        self.hold().is_some_and(|hold| hold.granted_by == GrantedBy::Postgres)
    }

    pub(super) fn expires_at(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        self.hold().map_or(now + VOID_LIFE, |hold| hold.expires_at)
    }
}

/// A change with its call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CallChange {
    pub account: AccountId,
    pub call_sid: CallSid,
    pub change: Change,
}

/// An account's holds that are not due.
#[derive(Debug, Default)]
pub(crate) struct AccountHolds {
    pub open: Vec<(CallSid, Hold)>,
    /// Calls that are charged.
    pub charged: Vec<CallSid>,
}

/// What Postgres knows about a call and its account.
#[derive(Debug)]
pub(crate) struct Known {
    pub standing: Option<Hold>,
    pub has_ended: bool,
    /// Calls in progress and the money that they hold, if they are counted.
    pub holds: i64,
    pub held: Money,
    /// The money that Postgres granted since `since`.
    pub spent: Money,
}

/// Where to read on among the holds of an account: after this expiry and call.
pub(crate) type After = (AccountId, DateTime<Utc>, String);

/// Where to look on among the expired holds: after this account key, expiry and call.
pub(super) type Expired = (i32, DateTime<Utc>, String);

/// The `CallSid` of a row.
pub(super) fn sid(row: &PgRow) -> Result<CallSid, BalanceError> {
    read_sid(row.try_get("call_sid")?)
}

/// The hold of a row.
pub(super) fn hold(row: &PgRow) -> Result<Hold, BalanceError> {
    Hold::unpack(row.try_get("hold")?)
}

/// A row's `place`, which counts from one, as an index.
pub(super) fn place(row: &PgRow) -> Result<Option<usize>, BalanceError> {
    Ok(usize::try_from(row.try_get::<i64, _>("place")? - 1).ok())
}

/// Reads a `CallSid` of the ledger or the journal.
pub(crate) fn read_sid(text: &str) -> Result<CallSid, BalanceError> {
    CallSid::parse(text).map_err(|error| LedgerError::unreadable("a CallSid", error).into())
}
