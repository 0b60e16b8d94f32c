//! Disputes of refills, as Stripe last told them, and the rows that they caused.

use callmeter_core::domain::RefillId;
use chrono::{DateTime, Utc};
use sqlx::{PgConnection, Row};

use crate::ledger::store::StoreError;

/// A dispute to store.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the columns are documented in the schema")]
pub struct Told<'a> {
    pub dispute: &'a str,
    pub refill: &'a RefillId,
    pub account_key: i32,
    pub amount_cents: i64,
    pub currency: &'a str,
    pub status: &'a str,
    pub reason: &'a str,
    pub needs_operator: bool,
    pub is_closed: bool,
}

/// What was known of a dispute before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Before {
    /// True if it was stored.
    pub is_known: bool,
    /// True if it was closed.
    pub is_closed: bool,
    /// True if it waits for an operator.
    pub needs_operator: bool,
    /// The chargeback's row.
    pub withdrawn: Option<i64>,
    /// The row of its reversal.
    pub reinstated: Option<i64>,
}

/// Reads what is known of a dispute. Exact only under the wallet's lock.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn before(connection: &mut PgConnection, dispute: &str) -> Result<Before, StoreError> {
    let row = sqlx::query(
        "/* disputes::before */ SELECT closed_at IS NOT NULL AS is_closed, needs_operator,
             withdrawn_sequence, reinstated_sequence FROM disputes WHERE dispute = $1",
    )
    .bind(dispute)
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else { return Ok(Before::default()) };
    Ok(Before {
        is_known: true,
        is_closed: row.try_get("is_closed")?,
        needs_operator: row.try_get("needs_operator")?,
        withdrawn: row.try_get("withdrawn_sequence")?,
        reinstated: row.try_get("reinstated_sequence")?,
    })
}

/// Disputes that are not closed, the oldest first, at most `limit`.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn open(connection: &mut PgConnection, limit: i64) -> Result<Vec<String>, StoreError> {
    let open = sqlx::query_scalar(
        "/* disputes::open */ SELECT dispute FROM disputes
         WHERE closed_at IS NULL ORDER BY opened_at, dispute LIMIT $1",
    );
    Ok(open.bind(limit).fetch_all(connection).await?)
}

/// Stores a dispute as told now.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn store(
    connection: &mut PgConnection,
    told: &Told<'_>,
    (withdrawn, reinstated): (Option<i64>, Option<i64>),
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    sqlx::query(
        "/* disputes::store */
         INSERT INTO disputes AS d (dispute, refill, account_key, amount_cents, currency, status,
             reason, withdrawn_sequence, reinstated_sequence, needs_operator, opened_at, closed_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, CASE WHEN $12 THEN $11 END)
         ON CONFLICT (dispute) DO UPDATE SET status = EXCLUDED.status, reason = EXCLUDED.reason,
             amount_cents = EXCLUDED.amount_cents, needs_operator = EXCLUDED.needs_operator,
             withdrawn_sequence = coalesce(d.withdrawn_sequence, EXCLUDED.withdrawn_sequence),
             reinstated_sequence = coalesce(d.reinstated_sequence, EXCLUDED.reinstated_sequence),
             closed_at = coalesce(d.closed_at, EXCLUDED.closed_at)",
    )
    .bind(told.dispute)
    .bind(told.refill.as_str())
    .bind(told.account_key)
    .bind(told.amount_cents)
    .bind(told.currency)
    .bind(told.status)
    .bind(told.reason)
    .bind(withdrawn)
    .bind(reinstated)
    .bind(told.needs_operator)
    .bind(now)
    .bind(told.is_closed)
    .execute(connection)
    .await?;
    Ok(())
}
