//! The loop that begins automatic refills. Every process with the role `jobs` runs it: the wallet's
//! lock and the ledger see to it that one begins each refill.

use std::time::Duration;

use tokio::task::JoinSet;

use super::one_line;
use crate::clock::beat;
use crate::payments::Payments;

/// Time between two looks. A card is charged within 3 s of the row that makes it necessary.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Most refills that one process brings forward at once; the job `refills` does the others.
const AT_ONCE_MAX: usize = 32;

/// Begins automatic refills, for ever.
pub(super) async fn refill_by_itself(payments: Payments) {
    let mut in_progress = JoinSet::new();
    loop {
        while in_progress.try_join_next().is_some() {}
        match payments.begin_auto_refills().await {
            Ok(begun) => {
                for refill in begun {
                    if in_progress.len() >= AT_ONCE_MAX {
                        in_progress.join_next().await;
                    }
                    let payments = payments.clone();
                    in_progress.spawn(async move {
                        if let Err(error) = payments.advance_auto_refill(&refill).await {
                            let error = one_line(&error);
                            tracing::warn!(%refill, error, "an automatic refill waits");
                        }
                    });
                }
            }
            Err(error) => tracing::debug!(%error, "automatic refills wait"),
        }
        beat(LOOK_EVERY).await;
    }
}
