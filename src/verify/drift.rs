//! The drift: how far balances are from the sum of their transactions. It must be zero.

use callmeter_core::domain::Money;
use sqlx::PgConnection;

use crate::ledger::store::{Store, StoreError};
use crate::metrics;

/// Sum over all wallets of the absolute difference between the balance and completed credits minus
/// completed debits, in one statement and so in one snapshot.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn drift(store: &Store) -> Result<Money, StoreError> {
    let mut connection = store.read().await?;
    Ok(measure(&mut connection).await?)
}

/// Measures the [`drift`] and publishes it as a metric.
///
/// # Errors
/// If Postgres is unavailable; the metric then keeps its last value.
pub async fn publish_drift(store: &Store) -> Result<Money, StoreError> {
    let drift = drift(store).await?;
    metrics::set_dollars(metrics::LEDGER_DRIFT_DOLLARS, drift);
    Ok(drift)
}

pub(super) async fn measure(connection: &mut PgConnection) -> Result<Money, sqlx::Error> {
    let micros: i64 = sqlx::query_scalar(
        "-- verify: drift
        SELECT coalesce(sum(abs(coalesce(balance_micros, 0) - coalesce(moved, 0))), 0)::bigint
        FROM wallets
        FULL JOIN (
            SELECT account_key,
                sum(CASE type WHEN 'credit' THEN amount_micros ELSE -amount_micros END) AS moved
            FROM transactions WHERE status = 'completed' GROUP BY account_key
        ) AS moves USING (account_key)",
    )
    .fetch_one(connection)
    .await?;
    Ok(Money::from_micros(micros))
}
