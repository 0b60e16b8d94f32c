//! Keeps the sums: adds the rows of the ledger that they do not count yet.

use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use crate::ledger::LedgerError;
use crate::ledger::insights::fold;
use crate::ledger::store::Store;

/// The shortest pause between two steps.
const PAUSE_MIN: Duration = Duration::from_millis(2);

/// What a run added to the sums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summed {
    /// Rows of the ledger: transactions and charges.
    pub rows: i64,
}

/// Adds every row of the ledger that the sums do not count yet. May run in several processes at
/// once; each row is counted once. It rests as long as it works, so that charging beside it has at
/// least half of Postgres.
///
/// # Errors
/// If Postgres is unavailable or refuses a statement; what was added stays.
pub async fn sum_up(store: &Store) -> Result<Summed, LedgerError> {
    fold::begin(store).await?;
    let mut summed = Summed::default();
    loop {
        let (mut above, mut is_behind) = (0, false);
        loop {
            let begun = Instant::now();
            let Some(folded) = fold::fold(store, above).await? else { break };
            above = folded.last_account_key;
            is_behind |= folded.is_behind;
            summed.rows += folded.rows;
            tokio::time::sleep(begun.elapsed().max(PAUSE_MIN)).await;
        }
        if !is_behind {
            return Ok(summed);
        }
    }
}

/// Empties the sums, and adds them up again.
///
/// # Errors
/// As [`sum_up`]; the next run goes on.
pub async fn rebuild(store: &Store) -> Result<Summed, LedgerError> {
    fold::empty(store).await?;
    sum_up(store).await
}
