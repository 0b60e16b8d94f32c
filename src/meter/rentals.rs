//! Tries rents again that could not be paid.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Shared;
use crate::ledger::rentals::{self, Attempt};
use crate::metrics;

/// Between two looks for rents that are due.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Runs until shutdown; each attempt is a transaction of its own, taken by one process only.
pub(super) async fn retry(shared: Arc<Shared>, shutdown: CancellationToken) {
    let meter = &shared.meter;
    let policy = meter.settings.rental_retry;
    loop {
        while !shutdown.is_cancelled() {
            match rentals::retry_next(meter.charger.store(), policy, meter.clock.now()).await {
                Ok(Some(Attempt::Paid(amount))) => {
                    metrics::add_dollars(metrics::CHARGED_DOLLARS, Some("number_rental"), amount);
                }
                Ok(Some(Attempt::Failed)) => {}
                Ok(Some(Attempt::GivenUp)) => tracing::warn!("a number's rent was given up"),
                Ok(None) => break,
                Err(error) => {
                    tracing::debug!(%error, "rents cannot be tried again yet");
                    break;
                }
            }
        }
        if tokio::time::timeout(LOOK_EVERY, shutdown.cancelled()).await.is_ok() {
            return;
        }
    }
}
