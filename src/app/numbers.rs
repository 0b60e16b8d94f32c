//! The loop that brings numbers forward and publishes their due periods. Every process with the role
//! `jobs` runs it: claims and the ledger see to it that each step is taken once.

use std::time::Duration;

use super::one_line;
use crate::clock::beat;
use crate::numbers::{NumberError, Numbers};

/// Time between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Brings numbers forward, for ever.
pub(super) async fn bring_forward(numbers: Numbers) {
    loop {
        match look(&numbers).await {
            Ok(()) => {}
            // Postgres is unreachable: `/readyz` reports it.
            Err(error) if error.is_transient() => tracing::debug!(%error, "numbers wait"),
            Err(error) => tracing::warn!(error = one_line(&error), "numbers wait"),
        }
        beat(LOOK_EVERY).await;
    }
}

async fn look(numbers: &Numbers) -> Result<(), NumberError> {
    if !numbers.have_work().await? {
        return Ok(());
    }
    numbers.release_suspended().await?;
    numbers.advance_waiting().await?;
    let published = numbers.publish_due().await?;
    if published > 0 {
        tracing::info!(published, "periods of numbers are published");
    }
    Ok(())
}
