//! One process at a time: an advisory lock of Postgres, held by a connection of its own.
//!
//! The server releases it when the connection ends, however the process ended. If a whole machine
//! vanishes, TCP keepalives end the connection within half a minute; if the process stands still,
//! the server ends it within 15 s.

use std::time::Duration;

use sqlx::Connection;
use sqlx::postgres::PgConnection;

use crate::clock::beat;
use crate::ledger::store::{Store, StoreError};

/// First half of the locks' keys ("jobs"), so that they never collide with other advisory locks.
const FAMILY: i32 = 0x6a6f_6273;
/// Time between two checks of the connection.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// The server ends a connection that asked nothing for so long: its process stands still (SIGSTOP,
/// a frozen machine), while another one could do its work. A setting of PostgreSQL 14 and later.
const SILENCE_MAX: &str = "15s";
/// Timeout of one check, and of connecting.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// The right to run a job, until it is dropped.
#[derive(Debug)]
pub struct JobLock {
    connection: PgConnection,
}

impl JobLock {
    /// Takes the lock of the job `name`; none if another process has it.
    ///
    /// # Errors
    /// If Postgres cannot be reached or refuses.
    pub async fn take(store: &Store, name: &str) -> Result<Option<Self>, StoreError> {
        let connected = tokio::time::timeout(ANSWER_MAX, store.connect_directly()).await;
        let unanswered = || Err(StoreError::Unavailable(sqlx::Error::PoolTimedOut));
        let mut connection = connected.unwrap_or_else(|_| unanswered())?;
        let taken: bool = sqlx::query_scalar(
            "-- jobs::lock
             SELECT pg_try_advisory_lock($1, hashtext($2))",
        )
        .bind(FAMILY)
        .bind(name)
        .fetch_one(&mut connection)
        .await?;
        if taken {
            sqlx::query(
                "-- jobs::lock
                 SELECT set_config(name, $1, false) FROM pg_settings
                  WHERE name = 'idle_session_timeout'",
            )
            .bind(SILENCE_MAX)
            .execute(&mut connection)
            .await?;
            return Ok(Some(Self { connection }));
        }
        drop(connection.close().await);
        Ok(None)
    }

    /// Takes the lock; waits for it for at most `patience`.
    ///
    /// # Errors
    /// If Postgres cannot be reached or refuses.
    pub async fn wait(
        store: &Store,
        name: &str,
        patience: Duration,
    ) -> Result<Option<Self>, StoreError> {
        let deadline = tokio::time::Instant::now() + patience;
        loop {
            let taken = Self::take(store, name).await?;
            if taken.is_some() || tokio::time::Instant::now() >= deadline {
                return Ok(taken);
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    }

    /// Runs `work` while the lock is held; none if the lock was lost and the work dropped.
    pub async fn hold<T>(mut self, work: impl Future<Output = T>) -> Option<T> {
        let done = {
            let lost = async {
                loop {
                    beat(LOOK_EVERY).await;
                    let look = tokio::time::timeout(ANSWER_MAX, self.connection.ping());
                    if !matches!(look.await, Ok(Ok(()))) {
                        return;
                    }
                }
            };
            tokio::select! {
                done = work => Some(done),
                () = lost => None,
            }
        };
        // The connection's end releases the lock; closing it is only faster.
        drop(tokio::time::timeout(ANSWER_MAX, self.connection.close()).await);
        done
    }
}
