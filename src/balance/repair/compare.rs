//! The one comparison of holds: Redis and the journal in, differences out. The patrol repairs them,
//! and `verify` reports them.
//!
//! Both sides are read in pages. After a page of one side, the other side is read; so a change that
//! comes in between is no difference.

use std::collections::HashMap;

use callmeter_core::domain::{AccountId, CallSid};
use chrono::{DateTime, TimeDelta, Utc};

use crate::balance::journal::change::{After, CallChange, Change, read_sid};
use crate::balance::journal::store as journal;
use crate::balance::model::BalanceError;
use crate::balance::scripts::{Holds, Missing};
use crate::balance::state::Balance;

/// Holds of one page, of all its accounts together.
const PAGE: usize = 500;
/// Least number of holds of one account on a page.
const PAGE_OF_ONE: usize = 20;
/// A hold that changed within this time is still being journaled by the process that granted it.
const SETTLING: TimeDelta = TimeDelta::milliseconds(500);
/// A hold that is due within this time may be released already by Redis's clock.
const DUE_SOON: TimeDelta = TimeDelta::seconds(5);

/// A hold or void that one of the two lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Difference {
    /// Redis lacks a hold of the journal, or has a hold for a call that the journal has as voided.
    InRedis(CallChange),
    /// The journal lacks a hold of Redis, or has an older one.
    InJournal(CallChange),
}

/// The comparison of some accounts, page by page: first the holds in Redis, then those journaled.
#[derive(Debug)]
pub(crate) struct Comparison {
    /// Where to read on in Redis, by account.
    in_redis: Vec<(AccountId, String)>,
    /// Where to read on in the journal.
    in_journal: Vec<After>,
}

impl Comparison {
    /// Compares the holds in Redis of `holding`, and the journaled holds of `all`.
    pub(crate) fn new(holding: Vec<AccountId>, all: Vec<AccountId>, now: DateTime<Utc>) -> Self {
        let begin = now + DUE_SOON;
        Self {
            in_redis: holding.into_iter().map(|account| (account, "0".to_owned())).collect(),
            in_journal: all.into_iter().map(|account| (account, begin, String::new())).collect(),
        }
    }

    /// Compares the next page; `None`: it was the last.
    pub(crate) async fn next(
        &mut self,
        balance: &Balance,
    ) -> Result<Option<Vec<Difference>>, BalanceError> {
        if !self.in_redis.is_empty() {
            let (standing, more) = standing_in_redis(balance, &self.in_redis).await?;
            self.in_redis = more;
            return Ok(Some(against_journal(balance, standing).await?));
        }
        if !self.in_journal.is_empty() {
            let most = share(self.in_journal.len());
            let (page, more) =
                journal::next_holds(&balance.0.store, &self.in_journal, most).await?;
            self.in_journal = more;
            return Ok(Some(against_redis(balance, &page).await?));
        }
        Ok(None)
    }
}

/// Holds of each account on a page of this many accounts.
fn share(accounts: usize) -> usize {
    (PAGE / accounts.max(1)).max(PAGE_OF_ONE)
}

/// The next holds of each account in Redis, and where to read on.
async fn standing_in_redis(
    balance: &Balance,
    left: &[(AccountId, String)],
) -> Result<(Vec<CallChange>, Vec<(AccountId, String)>), BalanceError> {
    let count = share(left.len());
    let reads: Vec<_> =
        left.iter().map(|(account, cursor)| Holds { account, cursor, count }).collect();
    let latest = (balance.0.clock.now() - SETTLING).timestamp_micros();
    let (mut standing, mut more) = (Vec::new(), Vec::new());
    for ((account, _), answer) in left.iter().zip(balance.0.redis.bulk_many(&reads).await?) {
        let some = answer?;
        for (call_sid, hold) in some.holds {
            if hold.revision < latest {
                let (account, call_sid) = (account.clone(), read_sid(&call_sid)?);
                standing.push(CallChange { account, call_sid, change: Change::Held(hold) });
            }
        }
        more.extend(some.cursor.map(|cursor| (account.clone(), cursor)));
    }
    Ok((standing, more))
}

/// Differences between these holds in Redis and the journal.
async fn against_journal(
    balance: &Balance,
    standing: Vec<CallChange>,
) -> Result<Vec<Difference>, BalanceError> {
    if standing.is_empty() {
        return Ok(Vec::new());
    }
    let journaled = journal::revisions(&balance.0.store, &standing).await?;
    let differ = standing.into_iter().zip(journaled).filter_map(|(call, journaled)| {
        let revision = call.change.revision();
        match journaled {
            Some((journaled, true)) if journaled > revision => {
                let change = Change::Voided { revision: journaled };
                Some(Difference::InRedis(CallChange { change, ..call }))
            }
            Some((journaled, _)) if journaled >= revision => None,
            _ => Some(Difference::InJournal(call)),
        }
    });
    Ok(differ.collect())
}

/// The holds of the journal that Redis lacks: it has the wallet, knows nothing of the call, and the
/// call is neither charged nor voided.
async fn against_redis(
    balance: &Balance,
    page: &HashMap<AccountId, Vec<CallSid>>,
) -> Result<Vec<Difference>, BalanceError> {
    let asked: Vec<_> =
        page.iter().map(|(account, call_sids)| Missing { account, call_sids }).collect();
    let mut calls = Vec::new();
    for (missing, answer) in asked.iter().zip(balance.0.redis.bulk_many(&asked).await?) {
        calls.extend(answer?.into_iter().map(|call_sid| (missing.account.clone(), call_sid)));
    }
    if calls.is_empty() {
        return Ok(Vec::new());
    }
    let open = journal::open_holds(&balance.0.store, &calls).await?;
    Ok(open.into_iter().map(Difference::InRedis).collect())
}
