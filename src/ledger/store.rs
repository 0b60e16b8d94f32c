//! The only access to Postgres: a pool, named transactions that are retried after a conflict, and
//! errors that say what a caller can do.
//!
//! The body of a transaction may run several times, so its only effects must be through its
//! connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, PgPool, Postgres, Transaction};

use super::session;
pub use super::session::Begin;

/// Attempts before a conflict is returned to the caller.
const ATTEMPTS_MAX: u32 = 8;

/// Longest wait for a connection: long enough for a burst, short enough that a request can still be
/// answered with 503 in time.
const PATIENCE: Duration = Duration::from_secs(3);

/// An error of Postgres; the kind says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another transaction was in the way (serialization, deadlock, unique key): run it again.
    #[error("another transaction was in the way")]
    Conflict(#[source] sqlx::Error),
    /// Postgres cannot be reached, or is starting or stopping: wait, then run it again.
    #[error("postgres cannot be reached")]
    Unavailable(#[source] sqlx::Error),
    /// The statement is wrong, or the data violate a constraint: do not run it again.
    #[error("postgres refused a statement")]
    Refused(#[source] sqlx::Error),
    /// A connection pooler answers where a session lock is needed: change the settings.
    #[error(
        "a connection pooler such as pgbouncer answers at DATABASE_URL (database.url); the role `jobs`, \
         `migrate`, `sweep` and `reconcile` hold locks of a session: give them a URL that leads to \
         Postgres itself"
    )]
    Pooled,
}

impl StoreError {
    /// True if a retry of the same transaction may succeed.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Conflict(_) | Self::Unavailable(_))
    }

    /// True if the values themselves were refused: out of a type's range, or against a constraint.
    /// Other refusals (a missing table, a revoked right) are not the fault of a record.
    pub fn is_of_the_values(&self) -> bool {
        let Self::Refused(source) = self else { return false };
        let Some(error) = source.as_database_error() else {
            return matches!(source, sqlx::Error::Encode(_));
        };
        let state = error.code().unwrap_or_default();
        state.starts_with("22") || (state.starts_with("23") && error.constraint().is_some())
    }

    /// True if the partition of a row is missing. Postgres reports this as a check violation
    /// without the name of a constraint.
    pub fn is_without_partition(&self) -> bool {
        let Self::Refused(source) = self else { return false };
        let error = source.as_database_error();
        error.is_some_and(|it| it.code().as_deref() == Some("23514") && it.constraint().is_none())
    }

    /// Name of the violated constraint, if any.
    pub fn constraint(&self) -> Option<&str> {
        let (Self::Conflict(source) | Self::Unavailable(source) | Self::Refused(source)) = self
        else {
            return None;
        };
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
    /// Options that also connect through poolers.
    plain: Arc<PgConnectOptions>,
    /// A pooler refused the bounds of single statements; they are no longer sent.
    is_pooled: Arc<AtomicBool>,
}

impl Store {
    /// Prepares a pool. It connects on first use, so that a service can start before Postgres.
    ///
    /// # Errors
    /// `Refused` if the URL cannot be read.
    pub fn open(url: &str, connections_max: u32) -> Result<Self, StoreError> {
        Ok(Self::with_options(url.parse()?, connections_max, PATIENCE))
    }

    /// Prepares a pool for the reads of authorizations: they would rather fail soon than wait for a
    /// connection.
    ///
    /// # Errors
    /// `Refused` if the URL cannot be read.
    pub fn open_for_authorizations(url: &str, connections_max: u32) -> Result<Self, StoreError> {
        let patience = Duration::from_secs(1);
        Ok(Self::with_options(url.parse()?, connections_max, patience))
    }

    fn with_options(options: PgConnectOptions, connections_max: u32, patience: Duration) -> Self {
        let pool = PgPoolOptions::new().max_connections(connections_max).acquire_timeout(patience);
        Self::with_pool(pool, Arc::new(session::plain(options)))
    }

    fn with_pool(pool: PgPoolOptions, plain: Arc<PgConnectOptions>) -> Self {
        let pool = pool.connect_lazy_with(session::bounded(&plain));
        Self { pool, plain, is_pooled: Arc::default() }
    }

    /// Another pool, of one connection, to the same database: for work that must not wait behind
    /// others.
    #[must_use]
    pub fn apart(&self) -> Self {
        Self::with_pool(PgPoolOptions::new().max_connections(1), Arc::clone(&self.plain))
    }

    /// Borrows a connection for reads, or for a single statement that writes.
    ///
    /// # Errors
    /// `Unavailable` if there is none in time.
    pub async fn read(&self) -> Result<PoolConnection<Postgres>, StoreError> {
        let was_pooled = self.is_pooled.load(Ordering::Acquire);
        let error = match self.pool.acquire().await {
            Ok(connection) => return Ok(connection),
            Err(error) => error,
        };
        if was_pooled || !session::is_refused_by_a_pooler(&error) {
            return Err(error.into());
        }
        self.pool.set_connect_options(PgConnectOptions::clone(&self.plain));
        self.is_pooled.store(true, Ordering::Release);
        Ok(self.pool.acquire().await?)
    }

    /// Borrows a connection for a transaction.
    ///
    /// # Errors
    /// `Unavailable` if there is none in time.
    pub async fn for_transaction(&self) -> Result<Reserved, StoreError> {
        Ok(Reserved { connection: self.read().await?, is_clean: true })
    }

    /// Connects outside the pool, whose time-out hides why it cannot connect.
    ///
    /// # Errors
    /// `Unavailable` if Postgres cannot be reached.
    pub async fn connect(&self) -> Result<PgConnection, StoreError> {
        Ok(self.plain.connect().await?)
    }

    /// Connects to Postgres itself, for session locks. A mark that only the start of the connection
    /// can set proves that no pooler is in between.
    ///
    /// # Errors
    /// `Pooled` if a pooler answers. `Unavailable` if nobody answers.
    pub async fn connect_directly(&self) -> Result<PgConnection, StoreError> {
        let mut connection = match session::marked(&self.plain).connect().await {
            Ok(connection) => connection,
            Err(error) if session::is_refused_by_a_pooler(&error) => {
                self.connect().await?;
                return Err(StoreError::Pooled);
            }
            Err(error) => return Err(error.into()),
        };
        let is_marked = sqlx::query_scalar(session::IS_MARKED).fetch_one(&mut connection).await?;
        if is_marked { Ok(connection) } else { Err(StoreError::Pooled) }
    }

    /// Runs `body` in one transaction and commits it; retries it after a conflict. `name` is for
    /// logs and metrics.
    ///
    /// # Errors
    /// An error of the body rolls the transaction back; transient ones are returned after eight
    /// attempts.
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
        let mut reserved = self.for_transaction().await?;
        let mut transaction = reserved.begin(Begin::Usual).await?;
        let value = body(&mut transaction).await?;
        transaction.commit().await.map_err(StoreError::from)?;
        Ok(value)
    }

    /// The pool itself, for migrations and the benchmark.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }
}

/// A connection for a transaction, with its settings (`session.rs`).
///
/// If nobody waited for the reply to the transaction's `BEGIN`, the transaction may still have
/// begun. Such a connection is closed: the next statements would be part of that transaction.
#[derive(Debug)]
pub struct Reserved {
    connection: PoolConnection<Postgres>,
    is_clean: bool,
}

impl Reserved {
    /// Begins the transaction in one round trip.
    ///
    /// # Errors
    /// If Postgres is unavailable or refuses the statement.
    pub async fn begin(&mut self, begin: Begin) -> Result<Transaction<'_, Postgres>, StoreError> {
        self.is_clean = false;
        let transaction = self.connection.begin_with(begin.statement()).await?;
        self.is_clean = true;
        Ok(transaction)
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if !self.is_clean {
            self.connection.close_on_drop();
        }
    }
}

/// Lets [`Store::transact`] check whether a body's own error came from Postgres.
pub trait AsStoreError {
    /// The inner error of the store, if it is one.
    fn as_store_error(&self) -> Option<&StoreError>;
}

impl AsStoreError for StoreError {
    fn as_store_error(&self) -> Option<&StoreError> {
        Some(self)
    }
}
