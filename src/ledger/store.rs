//! The one door to Postgres: a pool, connections that only read, named changes that are retried where
//! Postgres asks for it, and errors that say what a caller can do.
//!
//! A session of the pool is read-only by default, so Postgres itself refuses a change that does not go
//! through [`Store::execute`], [`Store::transact`] or [`Reserved::begin`]. Behind a connection pooler
//! sessions have no default of ours; the tests run without one and hold the rule.
//!
//! The body of a transaction may run several times, so its only effects must be through its
//! connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgPoolOptions};
use sqlx::query::Query;
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, PgPool, Postgres, Transaction};

use super::dedicated::Dedicated;
use super::frozen;
use super::session;
pub use super::session::Begin;
pub use super::store_error::{AsStoreError, StoreError};

/// Attempts before a conflict is returned to the caller.
const ATTEMPTS_MAX: u32 = 8;

/// Longest wait for a connection: long enough for a burst, short enough that a request can still be
/// answered with 503 in time.
const PATIENCE: Duration = Duration::from_secs(3);

/// The pool, and how it is used.
#[derive(Clone, Debug)]
pub struct Store {
    pool: PgPool,
    /// Options that also connect through poolers.
    plain: Arc<PgConnectOptions>,
    /// For statements that are read several times a second.
    regular: Arc<Dedicated>,
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
        let pool = pool.connect_lazy_with(session::read_only(&plain));
        let regular = Arc::new(Dedicated::new(&plain));
        Self { pool, plain, regular, is_pooled: Arc::default() }
    }

    /// The connection for small statements that are read every second or more often.
    pub fn regular(&self) -> &Dedicated {
        &self.regular
    }

    /// Borrows a connection for reading; Postgres refuses to change anything on it.
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

    /// Asks whether Postgres answers.
    ///
    /// # Errors
    /// `Unavailable` where it does not.
    pub async fn probe(&self) -> Result<(), StoreError> {
        self.regular.probe().await
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

    /// Runs one statement that changes something in a transaction of its own, again where another
    /// transaction was in the way; returns how many rows it changed. `name` is for logs and metrics.
    ///
    /// # Errors
    /// `Unavailable` and `Refused` at once, `Conflict` after eight attempts.
    pub async fn execute<'q, F>(&self, name: &'static str, statement: F) -> Result<u64, StoreError>
    where
        F: Fn() -> Query<'q, Postgres, PgArguments> + Send + Sync,
    {
        let mut attempt = 1;
        loop {
            match frozen::past(&self.regular, self.execute_once(statement())).await {
                Err(error) if is_worth_another(name, &mut attempt, Some(&error)) => {}
                executed => return executed,
            }
        }
    }

    async fn execute_once(
        &self,
        statement: Query<'_, Postgres, PgArguments>,
    ) -> Result<u64, StoreError> {
        let mut reserved = self.for_transaction().await?;
        let mut transaction = reserved.begin(Begin::Usual).await?;
        let executed = statement.execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(executed.rows_affected())
    }

    /// Runs `body` in one transaction, again where another transaction was in the way, and commits
    /// it. `name` is for logs and metrics.
    ///
    /// # Errors
    /// An error of the body rolls the transaction back; transient ones are returned after eight
    /// attempts.
    pub async fn transact<T, E, F>(&self, name: &'static str, mut body: F) -> Result<T, E>
    where
        E: From<StoreError> + AsStoreError,
        F: for<'c> FnMut(&'c mut PgConnection) -> BoxFuture<'c, Result<T, E>>,
    {
        let mut attempt = 1;
        loop {
            match frozen::past(&self.regular, self.attempt(&mut body)).await {
                Err(error) if is_worth_another(name, &mut attempt, error.as_store_error()) => {}
                value => return value,
            }
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

/// True where another transaction was in the way and attempts are left: it is counted, and logged.
fn is_worth_another(name: &'static str, attempt: &mut u32, error: Option<&StoreError>) -> bool {
    if !matches!(error, Some(StoreError::Conflict(_))) || *attempt == ATTEMPTS_MAX {
        return false;
    }
    *attempt += 1;
    metrics::counter!(crate::metrics::TRANSACTION_RETRIES, "transaction" => name).increment(1);
    tracing::debug!(transaction = name, attempt, "transaction runs again");
    true
}

/// A connection for a transaction, which carries its settings with it (`session.rs`).
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
    /// `Unavailable` where Postgres cannot be reached, or is a standby.
    pub async fn begin(&mut self, begin: Begin) -> Result<Transaction<'_, Postgres>, StoreError> {
        self.is_clean = false;
        // A standby that waits to be promoted refuses this as something that it does not support.
        let transaction = self.connection.begin_with(begin.statement()).await;
        let transaction = transaction.map_err(StoreError::Unavailable)?;
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
