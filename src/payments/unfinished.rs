//! The job that brings unfinished refills to their end: those whose request died, whose answer was
//! unknown, or that wait for the customer or the bank.

use super::{PaymentError, Payments};
use crate::ledger::payments::{events, refills};
use crate::telemetry::one_line;

/// Refills of one round.
const ROUND: i64 = 100;
/// Old events deleted in one round.
const PURGE_LIMIT: i64 = 1_000;

impl Payments {
    /// Asks Stripe about every unfinished refill that nobody works on; returns how many there were.
    ///
    /// # Errors
    /// If the ledger cannot be read. An error about one refill does not stop the others.
    pub async fn look_up_unfinished(&self) -> Result<usize, PaymentError> {
        let now = self.clock.now();
        let ids = refills::unattended(&mut *self.store.read().await?, now, ROUND).await?;
        for id in &ids {
            let advanced = self.advance_if_free(id, "job:refills", self.deadline());
            if let Err(error) = Box::pin(advanced).await {
                tracing::warn!(refill = %id, error = one_line(&error), "a refill waits");
            }
        }
        self.look_up_refunds().await?;
        events::purge(&self.store, PURGE_LIMIT, now).await?;
        Ok(ids.len())
    }
}
