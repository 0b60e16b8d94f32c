//! Brings two kinds of changes to Redis: those journaled too late for the load of an account that
//! Redis had lost, and those granted while Redis was away.
//!
//! A load waits until every process should have journaled its earlier grants. A process that was
//! slower hands its changes over here: holds are put back, and voids repeated.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::balance::journal::change::CallChange;
use crate::balance::state::Balance;

/// Wait while Redis is lost.
const RETRY: Duration = Duration::from_millis(200);
/// Most scripts in one round trip.
const MANY: usize = 500;

/// Repairs until the journal has ended; after `shutdown` each change is tried once.
pub(crate) async fn run(
    balance: Balance,
    mut late: mpsc::Receiver<Vec<CallChange>>,
    shutdown: CancellationToken,
) {
    while let Some(changes) = late.recv().await {
        for changes in changes.chunks(MANY) {
            while let Err(error) = balance.repair_redis(changes).await {
                tracing::warn!(%error, changes = changes.len(), "not restored in redis");
                if !error.is_lost() || shutdown.is_cancelled() {
                    break;
                }
                let _ = shutdown.run_until_cancelled(tokio::time::sleep(RETRY)).await;
            }
        }
    }
}
