//! Brings to Redis what it may be missing of the journal: what was journaled too late for the load of an
//! account that Redis had lost, and what was granted while Redis was away.
//!
//! A load waits until every process should have journaled what it granted before. One that was slower
//! than that hands its changes over here: holds that are put back, and voids that are repeated. What
//! the pool did not have meanwhile is the stated exception, which is counted.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::error::BalanceError;
use super::journal::LateChange;
use super::scripts::{Restore, Restored, Void};
use super::stage::Balance;
use crate::metrics::{HOLDS_BEYOND_POOL_DOLLARS, HOLDS_RESTORED_LATE, add_dollars};

/// Wait while Redis is lost.
const RETRY: Duration = Duration::from_millis(200);
/// Most scripts in one round trip.
const MANY: usize = 500;

/// Restores until the journal has ended; after `shutdown` each change is tried once.
pub(super) async fn run(
    balance: Balance,
    mut late: mpsc::Receiver<Vec<LateChange>>,
    shutdown: CancellationToken,
) {
    while let Some(changes) = late.recv().await {
        for changes in changes.chunks(MANY) {
            while let Err(error) = balance.restore(changes).await {
                tracing::warn!(%error, changes = changes.len(), "not restored");
                if !error.is_lost() || shutdown.is_cancelled() {
                    break;
                }
                let _ = shutdown.run_until_cancelled(tokio::time::sleep(RETRY)).await;
            }
        }
    }
}

impl Balance {
    /// Repeats changes in Redis; where they stand, or were never lost, nothing happens.
    pub(super) async fn restore(&self, changes: &[LateChange]) -> Result<(), BalanceError> {
        let holds: Vec<_> = changes
            .iter()
            .filter_map(|LateChange { account, call_sid, hold }| {
                hold.as_ref().map(|hold| Restore { account, call_sid, hold })
            })
            .collect();
        for (restore, answer) in holds.iter().zip(self.bulk_many(&holds).await?) {
            self.count(restore, answer?);
        }
        let voids: Vec<_> = changes
            .iter()
            .filter(|change| change.hold.is_none())
            .map(|LateChange { account, call_sid, .. }| Void {
                account,
                call_sid,
                twilio_account_sid: None,
            })
            .collect();
        for answer in self.bulk_many(&voids).await? {
            answer?;
        }
        Ok(())
    }

    fn count(&self, restore: &Restore<'_>, restored: Restored) {
        let beyond = match restored {
            Restored::Restored { beyond } => beyond,
            Restored::Over => restore.hold.money,
            Restored::Standing | Restored::Unknown => return,
        };
        let Restore { account, call_sid, hold } = restore;
        let lost = hold.money;
        if hold.is_fail_open() {
            // Granted by the account's policy, within its cap; not lost, and late by no fault.
            tracing::info!(%account, %call_sid, %lost, "a call granted without redis is held now");
            if matches!(restored, Restored::Restored { .. }) {
                add_dollars(HOLDS_BEYOND_POOL_DOLLARS, None, beyond);
            }
            return;
        }
        tracing::warn!(%account, %call_sid, %lost, "a hold was restored late");
        add_dollars(HOLDS_BEYOND_POOL_DOLLARS, None, beyond);
        self.0.restored_late.fetch_add(lost.micros(), Ordering::Relaxed);
        metrics::counter!(HOLDS_RESTORED_LATE).increment(1);
    }
}
