//! From a committed batch to Redis: wallets are projected, holds of the stream placed and freed.
//!
//! The meter hands over what it committed and goes on at once. What there is no room for is dropped:
//! the sweep finds the wallets whose versions differ and projects them again, so nothing is forgotten,
//! neither then nor when the process dies between commit and projection.

use std::collections::{HashMap, HashSet};

use callmeter_core::domain::AccountId;
use chrono::{DateTime, TimeDelta, Utc};
use futures::StreamExt;
use sqlx::Row;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::authorizer::{Ask, Payer};
use super::error::BalanceError;
use super::hold::CycleRef;
use super::scripts::{Settle, Settled};
use super::stage::Balance;
use super::terms::CallEnds;
use crate::ingest::batch::Batch;
use crate::ingest::decode::{CallSignalled, Event};
use crate::ledger::batch::{Committed, WalletChange};
use crate::ledger::incarnation;
use crate::metrics::{PROJECTIONS_DROPPED, SIGNALS_DROPPED};

/// Batches that may wait to be projected.
const BATCHES_MAX: usize = 32;
/// Status events that are looked at together.
const SIGNALS_AT_ONCE: usize = 16;
/// Accounts whose ids are remembered.
const IDS_MAX: usize = 100_000;

/// The handle by which the meter tells what it committed; cheap to clone.
#[derive(Clone, Debug)]
pub struct Projector(mpsc::Sender<Committal>);

/// What waits to be projected.
pub(super) type Work = mpsc::Receiver<Committal>;

/// One committed batch: its wallets, and the status events that came with it.
#[derive(Debug)]
pub(super) struct Committal {
    wallets: Vec<WalletChange>,
    signals: Vec<CallSignalled>,
}

impl Projector {
    pub(super) fn new() -> (Self, Work) {
        let (sender, work) = mpsc::channel(BATCHES_MAX);
        (Self(sender), work)
    }

    /// Hands a committed batch over; never waits.
    pub fn committed(&self, batch: &Batch, committed: &mut Committed) {
        let wallets = std::mem::take(&mut committed.wallets);
        let signals = signals(batch);
        if wallets.is_empty() && signals.is_empty() {
            return;
        }
        let committal = Committal { wallets, signals };
        if let Err(mpsc::error::TrySendError::Full(dropped)) = self.0.try_send(committal) {
            let count = |length: usize| u64::try_from(length).unwrap_or(u64::MAX);
            metrics::counter!(PROJECTIONS_DROPPED).increment(count(dropped.wallets.len()));
            metrics::counter!(SIGNALS_DROPPED).increment(count(dropped.signals.len()));
        }
    }
}

/// The status events of a batch whose calls are not over within it, the last of each call.
fn signals(batch: &Batch) -> Vec<CallSignalled> {
    let ended: HashSet<&str> = batch
        .records
        .iter()
        .filter_map(|record| match &record.event {
            Event::CallEnded(ended) => Some(ended.call.call_sid.as_str()),
            _ => None,
        })
        .collect();
    let mut last: HashMap<&str, &CallSignalled> = HashMap::new();
    for record in &batch.records {
        let Event::CallSignalled(signalled) = &record.event else { continue };
        let Some(call_sid) = &signalled.call_sid else { continue };
        if ended.contains(call_sid.as_str()) {
            continue;
        }
        // Once a call is over it stays so, in whatever order its events come.
        let known = last.entry(call_sid.as_str()).or_insert(signalled);
        if !known.status.is_terminal() {
            *known = signalled;
        }
    }
    last.into_values().cloned().collect()
}

/// Projects what was committed until `shutdown`.
pub(super) async fn run(balance: Balance, mut work: Work, shutdown: CancellationToken) {
    let mut ids = HashMap::new();
    let mut waiting = Vec::new();
    loop {
        let received =
            shutdown.run_until_cancelled(work.recv_many(&mut waiting, BATCHES_MAX)).await;
        if received.is_none_or(|count| count == 0) {
            return;
        }
        for committal in waiting.drain(..) {
            if let Err(error) = project(&balance, &mut ids, &committal.wallets).await {
                tracing::debug!(%error, "wallets are left to the sweep");
            }
            look_at(&balance, committal.signals).await;
        }
    }
}

/// Projects the wallets of a batch in one round trip.
async fn project(
    balance: &Balance,
    ids: &mut HashMap<i32, AccountId>,
    changes: &[WalletChange],
) -> Result<(), BalanceError> {
    if balance.incarnation() == 0 {
        balance.saw_incarnation(incarnation::current(&balance.0.store).await?);
    }
    learn_ids(balance, ids, changes).await?;
    let cycles: Vec<Vec<(CycleRef, u64)>> = changes
        .iter()
        .map(|change| {
            let cycle = |&(subscription, start, used)| (CycleRef { subscription, start }, used);
            change.cycles.iter().map(cycle).collect()
        })
        .collect();
    let requests: Vec<Settle<'_>> = changes
        .iter()
        .zip(&cycles)
        .filter_map(|(change, cycles)| {
            Some(Settle {
                account: ids.get(&change.account_key)?,
                from_version: change.from_version,
                version: change.version,
                charge_sequence: change.charge_sequence,
                balance: change.balance,
                credit_limit: change.credit_limit,
                whole: None,
                cycles,
                call_sids: &change.call_sids,
            })
        })
        .collect();
    for (request, answer) in requests.iter().zip(balance.bulk_many(&requests).await?) {
        match answer? {
            Settled::Projected { .. } | Settled::Stale | Settled::Unknown => {}
            Settled::Gap { .. } => balance.refresh(request.account).await?,
            Settled::Newer { incarnation } => {
                balance.saw_incarnation(incarnation);
                balance.refresh(request.account).await?;
            }
        }
    }
    Ok(())
}

async fn learn_ids(
    balance: &Balance,
    ids: &mut HashMap<i32, AccountId>,
    changes: &[WalletChange],
) -> Result<(), BalanceError> {
    if ids.len() >= IDS_MAX {
        ids.clear();
    }
    let keys = changes.iter().map(|change| change.account_key);
    let unknown: Vec<i32> = keys.filter(|key| !ids.contains_key(key)).collect();
    if unknown.is_empty() {
        return Ok(());
    }
    let rows = sqlx::query(
        "-- balance::learn_ids
         SELECT account_key, id FROM accounts WHERE account_key = ANY($1)",
    )
    .bind(&unknown)
    .fetch_all(&mut *balance.0.store.read().await?)
    .await?;
    for row in rows {
        let id: String = row.try_get("id")?;
        if let Ok(id) = AccountId::parse(&id) {
            ids.insert(row.try_get("account_key")?, id);
        }
    }
    Ok(())
}

/// Places holds for calls that are under way, and frees those of calls that came to nothing.
async fn look_at(balance: &Balance, signals: Vec<CallSignalled>) {
    let longest = TimeDelta::seconds(balance.0.settings.call_seconds_max.into());
    let oldest = balance.0.clock.now() - longest;
    futures::stream::iter(signals)
        .for_each_concurrent(SIGNALS_AT_ONCE, async |signalled| {
            if let Err(error) = signal(balance, &signalled, oldest).await {
                metrics::counter!(SIGNALS_DROPPED).increment(1);
                tracing::debug!(%error, "a status event changed no hold");
            }
        })
        .await;
}

async fn signal(
    balance: &Balance,
    signalled: &CallSignalled,
    oldest: DateTime<Utc>,
) -> Result<(), BalanceError> {
    let (Some(sid), Some(call_sid)) = (&signalled.twilio_account_sid, &signalled.call_sid) else {
        return Ok(());
    };
    if signalled.status.is_terminal() {
        if let Some(account) = balance.account_of(sid).await? {
            balance.void(&account, call_sid).await?;
        }
        return Ok(());
    }
    if signalled.signalled_at < oldest {
        return Ok(());
    }
    let ask = Ask {
        payer: Payer::TwilioAccount(sid),
        call_sid,
        ends: CallEnds {
            direction: signalled.direction.as_deref(),
            from: signalled.from.as_deref(),
            to: signalled.to.as_deref(),
            is_child_leg: signalled.parent_call_sid.as_deref().is_some_and(|it| !it.is_empty()),
        },
        seconds: balance.0.settings.stream_seconds,
        tag: None,
    };
    balance.place_from_stream(ask).await?;
    Ok(())
}
