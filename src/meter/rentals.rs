//! Retries rents that could not be paid.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Shared;
use crate::clock::beat;
use crate::ledger::rentals::{self, Attempt};
use crate::metrics;

/// Time between two checks for rents that are due.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Runs until shutdown; each attempt is a transaction of its own, taken by one process only.
pub(super) async fn retry(shared: Arc<Shared>, shutdown: CancellationToken) {
    let meter = &shared.meter;
    let policy = meter.settings.rental_retry;
    loop {
        while !shutdown.is_cancelled() {
            match rentals::retry_next(meter.charger.store(), policy, meter.clock.now()).await {
                Ok(Some(attempt)) => note(&attempt),
                Ok(None) => break,
                Err(error) if error.is_transient() => {
                    tracing::debug!(%error, "rents cannot be tried again yet");
                    break;
                }
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "rents cannot be tried again");
                    break;
                }
            }
        }
        if shutdown.run_until_cancelled(beat(LOOK_EVERY)).await.is_none() {
            return;
        }
    }
}

/// Counts an attempt, and logs what an operator should look at.
fn note(attempt: &Attempt) {
    let outcome = match attempt {
        Attempt::Paid(amount) => {
            metrics::add_dollars(metrics::CHARGED_DOLLARS, Some("number_rental"), *amount);
            "paid"
        }
        Attempt::Failed => "failed",
        Attempt::NotYet => "not_yet",
        Attempt::GivenUp => {
            tracing::warn!("a number's rent was given up");
            "given_up"
        }
        Attempt::Refused { phone_number_sid, period_start, error } => {
            let error = error as &dyn std::error::Error;
            tracing::warn!(phone_number_sid, %period_start, error, "a rent cannot be tried");
            "refused"
        }
    };
    ::metrics::counter!(metrics::RENTAL_ATTEMPTS, "outcome" => outcome).increment(1);
}
