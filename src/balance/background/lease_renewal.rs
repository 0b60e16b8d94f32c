//! Looks at the ledger several times in a lease, and projects the accounts that are noted there.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::balance::state::Balance;
use crate::clock::beat;

/// Time between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Looks until `shutdown`.
pub(crate) async fn run(balance: Balance, shutdown: CancellationToken) {
    let looks = async {
        loop {
            if let Err(error) = balance.look_at_ledger().await {
                tracing::debug!(%error, "the ledger could not be looked at");
            }
            beat(LOOK_EVERY).await;
        }
    };
    let catching_up = async {
        loop {
            // The next look finds again the accounts that still wait.
            balance.0.lease.found().await;
            for account in balance.0.lease.noted() {
                if let Err(error) = balance.catch_up(&account).await {
                    tracing::debug!(%account, %error, "a change still waits to be projected");
                    break;
                }
            }
        }
    };
    let endless = async { tokio::join!(looks, catching_up) };
    let _: Option<((), ())> = shutdown.run_until_cancelled(Box::pin(endless)).await;
}
