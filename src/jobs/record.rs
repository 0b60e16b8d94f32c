//! The table `jobs`: when each job ran, and its report.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;

use crate::ledger::store::{Store, StoreError};

/// The state of a job.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct JobRecord {
    /// Its name.
    pub name: String,
    /// When it is due.
    pub next_at: DateTime<Utc>,
    /// Start of the last run.
    pub last_started_at: Option<DateTime<Utc>>,
    /// Start of the last successful run.
    pub last_succeeded_at: Option<DateTime<Utc>>,
    /// Time of the last failure.
    pub last_failed_at: Option<DateTime<Utc>>,
    /// Why the last run failed; none if it succeeded.
    pub last_error: Option<String>,
    /// Report of the last successful run.
    pub report: Option<Value>,
}

/// Reads every job that has run and is turned on.
///
/// # Errors
/// If Postgres cannot be reached or refuses.
pub async fn list(connection: &mut PgConnection) -> Result<Vec<JobRecord>, StoreError> {
    let records = sqlx::query_as(
        "-- jobs::list
         SELECT name, next_at, last_started_at, last_succeeded_at, last_failed_at, last_error, report
         FROM jobs ORDER BY name",
    );
    Ok(records.fetch_all(connection).await?)
}

/// Reads one job; none if it has never run.
///
/// # Errors
/// If Postgres cannot be reached or refuses.
pub async fn read(
    connection: &mut PgConnection,
    name: &str,
) -> Result<Option<JobRecord>, StoreError> {
    let record = sqlx::query_as(
        "-- jobs::read
         SELECT name, next_at, last_started_at, last_succeeded_at, last_failed_at, last_error, report
         FROM jobs WHERE name = $1",
    );
    Ok(record.bind(name).fetch_optional(connection).await?)
}

/// Notes that a run begins. The job stays due: if its process dies, another runs it at once.
pub(super) async fn started(
    store: &Store,
    name: &str,
    at: DateTime<Utc>,
) -> Result<(), StoreError> {
    let statement = || {
        sqlx::query(
            "-- jobs::started
             INSERT INTO jobs (name, next_at, last_started_at) VALUES ($1, $2, $2)
             ON CONFLICT (name) DO UPDATE SET last_started_at = EXCLUDED.last_started_at",
        )
        .bind(name)
        .bind(at)
    };
    store.execute("jobs::started", statement).await?;
    Ok(())
}

/// Notes that the run that began at `started_at` succeeded.
pub(super) async fn succeeded(
    store: &Store,
    name: &str,
    started_at: DateTime<Utc>,
    next_at: DateTime<Utc>,
    report: &Value,
) -> Result<(), StoreError> {
    let statement = || {
        sqlx::query(
            "-- jobs::succeeded
             UPDATE jobs SET next_at = $3, last_succeeded_at = $2, last_error = NULL, report = $4
             WHERE name = $1",
        )
        .bind(name)
        .bind(started_at)
        .bind(next_at)
        .bind(report)
    };
    store.execute("jobs::succeeded", statement).await?;
    Ok(())
}

/// Deletes the record of a job that is turned off, so that it is not late for ever.
pub(super) async fn delete(store: &Store, name: &str) -> Result<(), StoreError> {
    let statement = "/* jobs::delete */ DELETE FROM jobs WHERE name = $1";
    store.execute("jobs::delete", || sqlx::query(statement).bind(name)).await?;
    Ok(())
}

/// Notes that a run failed.
pub(super) async fn failed(
    store: &Store,
    name: &str,
    at: DateTime<Utc>,
    next_at: DateTime<Utc>,
    error: &str,
) -> Result<(), StoreError> {
    let statement = || {
        sqlx::query(
            "-- jobs::failed
             UPDATE jobs SET next_at = $3, last_failed_at = $2, last_error = $4 WHERE name = $1",
        )
        .bind(name)
        .bind(at)
        .bind(next_at)
        .bind(error)
    };
    store.execute("jobs::failed", statement).await?;
    Ok(())
}
