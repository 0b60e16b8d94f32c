//! Whether acts on money wait until `callmeter recover` has brought back what Stripe knows: this
//! ledger went back in time, and may lack payments.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, Row};

use crate::ledger::store::{Store, StoreError};

/// Why acts on money wait, and since when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Required {
    /// Since when.
    pub since: DateTime<Utc>,
    /// Why.
    pub reason: String,
}

/// Reads whether a recovery is needed; `None`: it is not.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn required(connection: &mut PgConnection) -> Result<Option<Required>, StoreError> {
    let row = sqlx::query(
        "/* recovery::required */
         SELECT recovery_required_at, recovery_reason FROM ledger_identity",
    )
    .fetch_one(connection)
    .await?;
    let since: Option<DateTime<Utc>> = row.try_get("recovery_required_at")?;
    let reason: Option<String> = row.try_get("recovery_reason")?;
    Ok(since.map(|since| Required { since, reason: reason.unwrap_or_default() }))
}

/// Notes that a recovery is needed; the first reason stays.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn require(store: &Store, reason: &str, now: DateTime<Utc>) -> Result<(), StoreError> {
    let statement = || {
        sqlx::query(
            "/* recovery::require */
             UPDATE ledger_identity SET recovery_required_at = $1, recovery_reason = $2
             WHERE recovery_required_at IS NULL",
        )
        .bind(now)
        .bind(reason)
    };
    store.execute("recovery::require", statement).await.map(|_| ())
}

/// Notes that the recovery is done.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn finish(store: &Store) -> Result<(), StoreError> {
    let statement = "/* recovery::finish */
        UPDATE ledger_identity SET recovery_required_at = NULL, recovery_reason = NULL";
    store.execute("recovery::finish", || sqlx::query(statement)).await.map(|_| ())
}
