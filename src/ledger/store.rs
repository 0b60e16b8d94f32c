//! The one door to Postgres: a pool, named transactions that are retried where Postgres asks for it,
//! and the errors that say what a caller can do.
//!
//! The body of a transaction may run several times, so it must have no effect but through its
//! connection.

use std::time::Duration;

use futures::future::BoxFuture;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection, PgConnection, PgPool, Postgres, pool::PoolConnection};

/// How often a transaction is tried before its conflict is given to the caller.
const ATTEMPTS_MAX: u32 = 8;

/// Longest wait for a connection: long enough for a burst, short enough that a request can still answer
/// 503 in time.
const PATIENCE: Duration = Duration::from_secs(3);

/// What went wrong between us and Postgres; the kind says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another transaction was in the way (serialization, deadlock, unique key): run it again.
    #[error("another transaction was in the way")]
    Conflict(#[source] sqlx::Error),
    /// Postgres cannot be reached, or is starting or stopping: wait, then run it again.
    #[error("postgres cannot be reached")]
    Unavailable(#[source] sqlx::Error),
    /// The statement itself is wrong, or the data break a constraint: do not run it again.
    #[error("postgres refused a statement")]
    Refused(#[source] sqlx::Error),
}

impl StoreError {
    /// True where the same transaction may succeed when it is run again.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Conflict(_) | Self::Unavailable(_))
    }

    /// True where the very values were refused: out of a type's range, or against a constraint. What
    /// else is refused (a missing table, a right that was taken away) is no fault of a record.
    pub fn is_of_the_values(&self) -> bool {
        let Self::Refused(source) = self else { return false };
        let Some(error) = source.as_database_error() else {
            return matches!(source, sqlx::Error::Encode(_));
        };
        let state = error.code().unwrap_or_default();
        state.starts_with("22") || (state.starts_with("23") && error.constraint().is_some())
    }

    /// True where a row belongs to a partition that is not there; Postgres calls it a check that is
    /// violated, and names no constraint.
    pub fn is_without_partition(&self) -> bool {
        let Self::Refused(source) = self else { return false };
        let error = source.as_database_error();
        error.is_some_and(|it| it.code().as_deref() == Some("23514") && it.constraint().is_none())
    }

    /// Name of the constraint that was violated, if that is what happened.
    pub fn constraint(&self) -> Option<&str> {
        let (Self::Conflict(source) | Self::Unavailable(source) | Self::Refused(source)) = self;
        source.as_database_error().and_then(|error| error.constraint())
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let Some(state) = error.as_database_error().and_then(sqlx::error::DatabaseError::code)
        else {
            return match error {
                sqlx::Error::Io(_)
                | sqlx::Error::Tls(_)
                | sqlx::Error::Protocol(_)
                | sqlx::Error::PoolTimedOut
                | sqlx::Error::PoolClosed
                | sqlx::Error::WorkerCrashed => Self::Unavailable(error),
                other => Self::Refused(other),
            };
        };
        match state.as_ref() {
            // serialization_failure, deadlock_detected, unique_violation
            "40001" | "40P01" | "23505" => Self::Conflict(error),
            // admin_shutdown, crash_shutdown, cannot_connect_now, too_many_connections,
            // read_only_sql_transaction (a fail-over), lock_not_available, disk_full, out_of_memory
            "57P01" | "57P02" | "57P03" | "53300" | "25006" | "55P03" | "53100" | "53200" => {
                Self::Unavailable(error)
            }
            code if code.starts_with("08") => Self::Unavailable(error),
            _ => Self::Refused(error),
        }
    }
}

/// The pool, and how it is used.
#[derive(Clone, Debug)]
pub struct Store {
    pool: PgPool,
}

impl Store {
    /// Prepares a pool; connects when it is first used, so that a service can start before Postgres.
    ///
    /// # Errors
    /// `Refused` where the URL cannot be read.
    pub fn open(url: &str, connections_max: u32) -> Result<Self, StoreError> {
        Ok(Self::with_options(url.parse()?, connections_max, PATIENCE))
    }

    /// Prepares a pool for what authorizations read: a caller would rather be told soon that nobody knows
    /// than wait for a connection.
    ///
    /// # Errors
    /// `Refused` where the URL cannot be read.
    pub fn open_for_authorizations(url: &str, connections_max: u32) -> Result<Self, StoreError> {
        let patience = Duration::from_secs(1);
        Ok(Self::with_options(url.parse()?, connections_max, patience))
    }

    /// Prepares a pool for the charging loop, whose statements look rows up by array and index.
    ///
    /// The planner is told so: an array of thousands of keys would lead it to read whole tables for
    /// as long as they are small, and it would stay with that plan while they grow.
    ///
    /// # Errors
    /// `Refused` where the URL cannot be read.
    pub fn open_for_batches(url: &str, connections_max: u32) -> Result<Self, StoreError> {
        let options = url.parse::<PgConnectOptions>()?.options([
            ("enable_seqscan", "off"),
            ("enable_hashjoin", "off"),
            ("enable_mergejoin", "off"),
            ("plan_cache_mode", "force_generic_plan"),
        ]);
        Ok(Self::with_options(options, connections_max, PATIENCE))
    }

    fn with_options(options: PgConnectOptions, connections_max: u32, patience: Duration) -> Self {
        let options = options
            .application_name("callmeter")
            // A statement that hangs must not hold a wallet's lock for ever.
            .options([
                ("statement_timeout", "60s"),
                // Nothing pauses inside a transaction: a process that hangs gives its locks up soon.
                ("idle_in_transaction_session_timeout", "5s"),
                ("timezone", "UTC"),
            ]);
        let pool = PgPoolOptions::new()
            .max_connections(connections_max)
            .acquire_timeout(patience)
            .connect_lazy_with(options);
        Self { pool }
    }

    /// Another pool, of one connection, to the same database: for what must not wait behind others.
    #[must_use]
    pub fn apart(&self) -> Self {
        let options = PgConnectOptions::clone(&self.pool.connect_options());
        Self { pool: PgPoolOptions::new().max_connections(1).connect_lazy_with(options) }
    }

    /// Borrows a connection for reading.
    ///
    /// # Errors
    /// `Unavailable` where none can be had in time.
    pub async fn read(&self) -> Result<PoolConnection<Postgres>, StoreError> {
        Ok(self.pool.acquire().await?)
    }

    /// Runs `body` in one transaction, again where another transaction was in the way, and commits
    /// it. `name` is for logs and metrics.
    ///
    /// # Errors
    /// The body's own errors end the transaction without effect; transient ones are returned after
    /// eight attempts.
    pub async fn transact<T, E, F>(&self, name: &'static str, mut body: F) -> Result<T, E>
    where
        E: From<StoreError> + AsStoreError,
        F: for<'c> FnMut(&'c mut PgConnection) -> BoxFuture<'c, Result<T, E>>,
    {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let error = match self.attempt(&mut body).await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            let conflict = matches!(error.as_store_error(), Some(StoreError::Conflict(_)));
            if !conflict || attempt == ATTEMPTS_MAX {
                return Err(error);
            }
            metrics::counter!(crate::metrics::TRANSACTION_RETRIES, "transaction" => name)
                .increment(1);
            tracing::debug!(transaction = name, attempt, "transaction runs again");
        }
    }

    async fn attempt<T, E, F>(&self, body: &mut F) -> Result<T, E>
    where
        E: From<StoreError>,
        F: for<'c> FnMut(&'c mut PgConnection) -> BoxFuture<'c, Result<T, E>>,
    {
        let mut connection = self.pool.acquire().await.map_err(StoreError::from)?;
        let mut transaction = connection.begin().await.map_err(StoreError::from)?;
        let value = body(&mut transaction).await?;
        transaction.commit().await.map_err(StoreError::from)?;
        Ok(value)
    }

    /// The pool itself, for migrations and the benchmark.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }
}

/// Lets [`Store::transact`] see whether a body's own error was Postgres's.
pub trait AsStoreError {
    /// The error of the store inside, if it is one.
    fn as_store_error(&self) -> Option<&StoreError>;
}

impl AsStoreError for StoreError {
    fn as_store_error(&self) -> Option<&StoreError> {
        Some(self)
    }
}
