//! Makes deliveries of events, page by page.

use tokio::sync::{Notify, watch};

use crate::clock::{Clock, beat};
use crate::ledger::store::{Store, StoreError};
use crate::ledger::webhooks;
use crate::notify::RETRY_EVERY;
use crate::telemetry::one_line;

/// Makes deliveries of every event behind the cursor, whenever there is news, and says so. Ends with
/// the ordering.
pub(in crate::notify) async fn make(
    store: &Store,
    clock: &Clock,
    mut news: watch::Receiver<()>,
    made: &Notify,
) {
    loop {
        match make_new(store, clock, made).await {
            Ok(()) if news.changed().await.is_err() => return,
            Ok(()) => {}
            Err(error) => {
                if error.is_transient() {
                    tracing::debug!(%error, "web hooks wait");
                } else {
                    tracing::warn!(error = one_line(&error), "web hooks wait");
                }
                beat(RETRY_EVERY).await;
            }
        }
    }
}

async fn make_new(store: &Store, clock: &Clock, made: &Notify) -> Result<(), StoreError> {
    while let Some(count) = webhooks::fan_out(store, clock.now()).await? {
        if count > 0 {
            made.notify_one();
        }
    }
    Ok(())
}
