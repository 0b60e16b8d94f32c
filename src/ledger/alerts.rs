//! Alert thresholds: what accounts set, and what counts for those that never set any.

use callmeter_core::domain::Money;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::store::{Store, StoreError};

/// The thresholds of an account in the order given, or the defaults.
///
/// # Errors
/// If Postgres is unavailable, or there is no such wallet.
pub async fn find(
    connection: &mut PgConnection,
    account_key: i32,
) -> Result<Vec<Money>, StoreError> {
    let levels: Vec<i64> = sqlx::query_scalar(
        "/* alerts::find */
         SELECT coalesce(alert_levels_micros,
             (SELECT levels_micros FROM alert_defaults WHERE singleton), '{}')
         FROM wallets WHERE account_key = $1",
    )
    .bind(account_key)
    .fetch_one(connection)
    .await?;
    Ok(levels.into_iter().map(Money::from_micros).collect())
}

/// Replaces the thresholds of an account, under the wallet's lock.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn set(
    connection: &mut PgConnection,
    account_key: i32,
    thresholds: &[Money],
) -> Result<(), StoreError> {
    sqlx::query(
        "/* alerts::set */ UPDATE wallets SET alert_levels_micros = $2 WHERE account_key = $1",
    )
    .bind(account_key)
    .bind(micros(thresholds))
    .execute(connection)
    .await?;
    Ok(())
}

/// Sets the thresholds of accounts that never set any: for every process, so that a charge and a
/// command see the same.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn set_defaults(
    store: &Store,
    thresholds: &[Money],
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let statement = || {
        sqlx::query(
            "/* alerts::set_defaults */ INSERT INTO alert_defaults (levels_micros, set_at)
             VALUES ($1, $2) ON CONFLICT ON CONSTRAINT alert_defaults_pk DO UPDATE
             SET levels_micros = EXCLUDED.levels_micros, set_at = EXCLUDED.set_at
             WHERE alert_defaults.levels_micros <> EXCLUDED.levels_micros",
        )
        .bind(micros(thresholds))
        .bind(now)
    };
    store.execute("alerts::set_defaults", statement).await.map(|_| ())
}

fn micros(thresholds: &[Money]) -> Vec<i64> {
    thresholds.iter().map(|threshold| threshold.micros()).collect()
}
