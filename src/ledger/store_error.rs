//! The errors of Postgres: their kind says what a caller can do.

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

    /// True if the partition of a row is missing. Postgres reports a check violation without the name
    /// of a constraint, or a missing table where rows of one month go to their partition by name.
    pub fn is_without_partition(&self) -> bool {
        let Self::Refused(source) = self else { return false };
        let Some(error) = source.as_database_error() else { return false };
        match error.code().as_deref() {
            Some("23514") => error.constraint().is_none(),
            Some("42P01") => true,
            _ => false,
        }
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

/// Lets a retried transaction check whether a body's own error came from Postgres.
pub trait AsStoreError {
    /// The inner error of the store, if it is one.
    fn as_store_error(&self) -> Option<&StoreError>;
}

impl AsStoreError for StoreError {
    fn as_store_error(&self) -> Option<&StoreError> {
        Some(self)
    }
}
