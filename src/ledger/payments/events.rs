//! Stripe's events that were applied.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;

use crate::ledger::store::{Store, StoreError};

/// How long an event is remembered; Stripe repeats it for at most three days
/// (<https://docs.stripe.com/webhooks#retries>).
pub const KEPT_FOR: TimeDelta = TimeDelta::days(30);

/// Notes an event in the transaction of its effect; false: it was applied before.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn note(
    connection: &mut PgConnection,
    (event, kind): (&str, &str),
    outcome: &str,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let noted = sqlx::query(
        "/* events::note */ INSERT INTO stripe_events (event, type, outcome, received_at)
         VALUES ($1, $2, $3, $4) ON CONFLICT (event) DO NOTHING",
    )
    .bind(event)
    .bind(kind)
    .bind(outcome)
    .bind(now)
    .execute(connection)
    .await?;
    Ok(noted.rows_affected() == 1)
}

/// True if an event was applied before.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn is_known(connection: &mut PgConnection, event: &str) -> Result<bool, StoreError> {
    let known = sqlx::query_scalar(
        "/* events::is_known */ SELECT EXISTS (SELECT FROM stripe_events WHERE event = $1)",
    );
    Ok(known.bind(event).fetch_one(connection).await?)
}

/// Deletes old events, at most `limit`; returns how many.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn purge(store: &Store, limit: i64, now: DateTime<Utc>) -> Result<u64, StoreError> {
    let statement = || {
        sqlx::query(
            "/* events::purge */ DELETE FROM stripe_events WHERE event IN (
                 SELECT event FROM stripe_events WHERE received_at <= $1
                 ORDER BY received_at LIMIT $2 FOR UPDATE SKIP LOCKED)",
        )
        .bind(now - KEPT_FOR)
        .bind(limit)
    };
    store.execute("events::purge", statement).await
}
