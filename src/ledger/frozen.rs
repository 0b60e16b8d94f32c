//! Transactions that wait for a process which stands still.
//!
//! A process that is stopped amid a COPY (by a debugger, a frozen machine, SIGSTOP) keeps the locks of
//! its transaction: while Postgres waits for the rest of a COPY, it heeds no time-out. Whoever waits
//! for such a lock ends the session that holds it. That works amid a COPY too, and the process finds
//! its transaction undone when it goes on.

use std::collections::HashSet;
use std::convert::Infallible;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::Row as _;

use super::dedicated::Dedicated;
use super::store_error::StoreError;

/// Time before the first look at what a transaction waits for, and between two. A session must have
/// stood still for one such time before it is ended.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// A session that others wait for while it waits for its own process: its pid, the start of its
/// statement, and the bytes that it has copied. Where all three are the same twice, it stands still.
type Holder = (i32, DateTime<Utc>, i64);

/// Runs `work`, which may wait for locks in Postgres; `regular` is for the looks.
pub(super) async fn past<T>(regular: &Dedicated, work: impl Future<Output = T>) -> T {
    tokio::select! {
        biased;
        done = work => done,
        never = look(regular) => match never {},
    }
}

async fn look(regular: &Dedicated) -> Infallible {
    let mut seen = HashSet::new();
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        match end(regular, &seen).await {
            Ok(holders) => seen = holders,
            Err(error) => tracing::debug!(%error, "sessions that hold locks cannot be read"),
        }
    }
}

/// Finds the holders, and ends those that were `seen` before.
async fn end(regular: &Dedicated, seen: &HashSet<Holder>) -> Result<HashSet<Holder>, StoreError> {
    let mut connection = regular.take().await?;
    let rows = sqlx::query(
        "-- frozen::holders
         SELECT DISTINCT holder.pid, holder.query_start, coalesce(copy.bytes_processed, 0)
           FROM pg_stat_activity AS waiting
          CROSS JOIN LATERAL unnest(pg_blocking_pids(waiting.pid)) AS blocking (pid)
           JOIN pg_stat_activity AS holder ON holder.pid = blocking.pid
           LEFT JOIN pg_stat_progress_copy AS copy ON copy.pid = holder.pid
          WHERE waiting.wait_event_type = 'Lock'
            AND waiting.datname = current_database() AND holder.datname = current_database()
            AND holder.usename = current_user AND holder.application_name = 'callmeter'
            AND holder.state = 'active' AND holder.wait_event = 'ClientRead'",
    )
    .fetch_all(&mut connection)
    .await?;
    let holders = rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?)));
    let holders = holders.collect::<Result<HashSet<Holder>, sqlx::Error>>()?;
    for (pid, began, _) in holders.intersection(seen) {
        let ended = sqlx::query(
            "-- frozen::end
             SELECT pg_terminate_backend(pid)
               FROM pg_stat_activity WHERE pid = $1 AND query_start = $2",
        )
        .bind(pid)
        .bind(began)
        .fetch_optional(&mut connection)
        .await?;
        if ended.is_some() {
            tracing::warn!(
                pid,
                since = %began,
                "a session of postgres held locks while its process stood still: it is ended"
            );
        }
    }
    regular.put_back(connection);
    Ok(holders)
}
