//! From a committed batch to Redis: wallets are projected, then status events are applied.

use tokio_util::sync::CancellationToken;

use crate::balance::model::{BalanceError, CycleRef};
use crate::balance::scripts::{Settle, Settled};
use crate::balance::state::Balance;
use crate::balance::status_events::{BATCHES_MAX, Work};
use crate::ledger::batch::WalletChange;
use crate::ledger::incarnation;

/// Projects committed batches until `shutdown`.
pub(crate) async fn run(balance: Balance, mut work: Work, shutdown: CancellationToken) {
    let mut waiting = Vec::new();
    loop {
        let received =
            shutdown.run_until_cancelled(work.recv_many(&mut waiting, BATCHES_MAX)).await;
        if received.is_none_or(|count| count == 0) {
            return;
        }
        for committal in waiting.drain(..) {
            let is_lost = match project(&balance, &committal.wallets).await {
                Ok(()) => false,
                Err(error) => {
                    tracing::debug!(%error, "wallets are left to the patrol");
                    error.is_lost()
                }
            };
            // If the server was lost a moment ago, it is not asked again for each event.
            let are_applied = !is_lost && balance.apply(&committal.signals).await;
            committal.are_signals_applied(are_applied);
        }
    }
}

/// Projects the wallets of a batch that Redis has.
async fn project(balance: &Balance, changes: &[WalletChange]) -> Result<(), BalanceError> {
    let redis = &balance.0.redis;
    if redis.incarnation() == 0 {
        redis.saw_incarnation(incarnation::current(&balance.0.store).await?);
    }
    let known = redis.are_known(changes.iter().map(|change| &change.account)).await?;
    let changes = || changes.iter().zip(&known).filter(|(_, is)| **is).map(|(change, _)| change);
    let cycles: Vec<Vec<(CycleRef, u64)>> = changes()
        .map(|change| {
            let cycle = |&(subscription, start, used)| (CycleRef { subscription, start }, used);
            change.cycles.iter().map(cycle).collect()
        })
        .collect();
    let requests: Vec<Settle<'_>> = changes()
        .zip(&cycles)
        .map(|(change, cycles)| Settle {
            account: &change.account,
            from_version: change.from_version,
            version: change.version,
            charge_sequence: change.charge_sequence,
            balance: change.balance,
            credit_limit: change.credit_limit,
            budget: change.budget,
            whole: None,
            cycles,
            call_sids: &change.call_sids,
        })
        .collect();
    for (request, answer) in requests.iter().zip(redis.bulk_many(&requests).await?) {
        match answer? {
            Settled::Projected { .. } | Settled::Stale | Settled::Unknown => continue,
            Settled::Newer { incarnation } => redis.saw_incarnation(incarnation),
            Settled::Gap { .. } => {}
        }
        balance.refresh(request.account).await?;
    }
    Ok(())
}
