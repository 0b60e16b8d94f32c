//! From a committed batch to Redis: wallets are projected, holds of the stream placed and freed.
//!
//! The meter hands over what it committed and goes on at once. What there is no room for is dropped,
//! and nothing is forgotten, neither then nor when the process dies between commit and projection: the
//! sweep finds the wallets whose versions differ and projects them again, and status events that were
//! missed ([`Applied`]) are read from Kafka again.

use std::collections::HashMap;
use std::sync::Arc;

use callmeter_core::domain::AccountId;
use sqlx::Row;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::applied::Applied;
use super::error::BalanceError;
use super::hold::CycleRef;
use super::scripts::{Settle, Settled};
use super::signals;
use super::stage::Balance;
use crate::ingest::batch::Batch;
use crate::ingest::decode::CallSignalled;
use crate::ledger::batch::{Committed, WalletChange};
use crate::ledger::incarnation;
use crate::metrics::PROJECTIONS_DROPPED;

/// Batches that may wait to be projected.
const BATCHES_MAX: usize = 32;
/// Accounts whose ids are remembered.
const IDS_MAX: usize = 100_000;

/// The handle by which the meter tells what it committed; cheap to clone.
#[derive(Clone, Debug)]
pub struct Projector {
    work: mpsc::Sender<Committal>,
    /// Is told how far the status events of the handle's partition are applied.
    applied: Option<Arc<Applied>>,
}

/// What waits to be projected.
pub(super) type Work = mpsc::Receiver<Committal>;

/// One committed batch: its wallets, and the status events that came with it.
#[derive(Debug)]
pub(super) struct Committal {
    wallets: Vec<WalletChange>,
    signals: Vec<CallSignalled>,
    /// Where the batch ended in its partition, and who is told that its status events are applied.
    place: Option<(Arc<Applied>, i64)>,
}

impl Projector {
    pub(super) fn new() -> (Self, Work) {
        let (sender, work) = mpsc::channel(BATCHES_MAX);
        (Self { work: sender, applied: None }, work)
    }

    /// A handle for the batches of one partition, in their order.
    #[must_use]
    pub fn of_partition(&self, applied: Arc<Applied>) -> Self {
        Self { work: self.work.clone(), applied: Some(applied) }
    }

    /// Hands a committed batch over; never waits.
    pub fn committed(&self, batch: &Batch, committed: &mut Committed) {
        let wallets = std::mem::take(&mut committed.wallets);
        let signals = signals::of(batch);
        let place = self.applied.as_ref().map(|applied| (Arc::clone(applied), batch.next_offset));
        if let Some((applied, to)) = &place {
            applied.committed(*to, signals.is_empty());
        }
        if wallets.is_empty() && signals.is_empty() {
            return;
        }
        let committal = Committal { wallets, signals, place };
        let Err(refused) = self.work.try_send(committal) else { return };
        let dropped = refused.into_inner();
        let count = u64::try_from(dropped.wallets.len()).unwrap_or(u64::MAX);
        metrics::counter!(PROJECTIONS_DROPPED).increment(count);
        dropped.are_signals_applied(false);
    }
}

impl Committal {
    /// Tells whether the status events of the batch are applied; without any they are.
    fn are_signals_applied(&self, are: bool) {
        match &self.place {
            Some((applied, to)) if are => applied.apply(*to),
            Some((applied, to)) if !self.signals.is_empty() => applied.miss(*to),
            _ => {}
        }
    }
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
            let is_lost = match project(&balance, &mut ids, &committal.wallets).await {
                Ok(()) => false,
                Err(error) => {
                    tracing::debug!(%error, "wallets are left to the sweep");
                    error.is_lost()
                }
            };
            // A server that was lost a moment ago is not asked again for each event.
            let are_applied = !is_lost && balance.apply(&committal.signals).await;
            committal.are_signals_applied(are_applied);
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

#[cfg(test)]
mod tests {
    use callmeter_core::domain::{CallSid, CallStatus, TwilioAccountSid};
    use chrono::DateTime;

    use super::*;
    use crate::ingest::decode::Event;

    /// The batch of one record at this offset: a call that is under way.
    fn ringing(offset: i64) -> Batch {
        let signalled = CallSignalled {
            status: CallStatus::Ringing,
            twilio_account_sid: TwilioAccountSid::parse("AC1").ok(),
            call_sid: CallSid::parse("CA1").ok(),
            direction: None,
            from: None,
            to: None,
            parent_call_sid: None,
            signalled_at: DateTime::UNIX_EPOCH,
        };
        let mut batch = Batch::starting_at(offset);
        batch.push(offset, None, Event::CallSignalled(signalled), None, None);
        batch
    }

    #[test]
    fn status_events_that_there_is_no_room_for_are_read_again() {
        let (projector, mut work) = Projector::new();
        let applied = Arc::new(Applied::between(0, 0));
        let projector = projector.of_partition(Arc::clone(&applied));
        let room = i64::try_from(BATCHES_MAX).unwrap();
        for offset in 0..room {
            projector.committed(&ringing(offset), &mut Committed::default());
        }
        assert_eq!((applied.gap(), applied.behind()), (None, room));
        projector.committed(&ringing(room), &mut Committed::default());
        assert_eq!(applied.gap(), Some(0..room + 1));
        // What waits is applied in vain; the gap is closed as a whole.
        while let Ok(committal) = work.try_recv() {
            committal.are_signals_applied(true);
        }
        assert_eq!(applied.offset(), 0);
        projector.committed(&ringing(room + 1), &mut Committed::default());
        work.try_recv().unwrap().are_signals_applied(true);
        applied.read_again(room + 1);
        assert_eq!((applied.offset(), applied.behind()), (room + 2, 0));
    }
}
