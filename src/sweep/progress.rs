//! Up to when each Twilio account was swept by the clock, and which accounts fail.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;

use crate::ledger::store::{Store, StoreError};

/// The furthest that a sweep by the clock goes back after failures.
pub(super) const REACH_MAX: TimeDelta = TimeDelta::days(30);
/// Stored characters of an error.
const ERROR_CHARACTERS_MAX: usize = 300;

/// A Twilio account that could not be swept.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Failing {
    /// The Twilio account.
    pub twilio_account_sid: String,
    /// Start of the failures.
    pub failing_since: DateTime<Utc>,
    /// The last error.
    pub last_error: String,
}

/// Lists the Twilio accounts that have failed longest, at most `limit`.
///
/// # Errors
/// If Postgres is unavailable or refuses the statement.
pub async fn failing(
    connection: &mut PgConnection,
    limit: i64,
) -> Result<Vec<Failing>, StoreError> {
    let failing = sqlx::query_as(
        "-- sweep::failing
         SELECT t.twilio_account_sid, s.failing_since, s.last_error
         FROM twilio_sweeps AS s JOIN twilio_accounts AS t USING (twilio_account_key)
         WHERE s.failing_since IS NOT NULL ORDER BY s.failing_since LIMIT $1",
    );
    Ok(failing.bind(limit).fetch_all(connection).await?)
}

/// Up to when an account was swept; `None`: never.
pub(super) async fn swept_to(
    store: &Store,
    twilio_account_key: i32,
) -> Result<Option<DateTime<Utc>>, StoreError> {
    let swept_to: Option<Option<DateTime<Utc>>> = sqlx::query_scalar(
        "-- sweep::swept_to
         SELECT swept_to FROM twilio_sweeps WHERE twilio_account_key = $1",
    )
    .bind(twilio_account_key)
    .fetch_optional(&mut *store.read().await?)
    .await?;
    Ok(swept_to.flatten())
}

/// Stores that an account was swept up to `to`.
pub(super) async fn swept(
    store: &Store,
    twilio_account_key: i32,
    to: DateTime<Utc>,
) -> Result<(), StoreError> {
    let statement = || {
        sqlx::query(
            "-- sweep::swept
             INSERT INTO twilio_sweeps AS s (twilio_account_key, swept_to) VALUES ($1, $2)
             ON CONFLICT (twilio_account_key) DO UPDATE
             SET swept_to = greatest(s.swept_to, EXCLUDED.swept_to), failing_since = NULL, last_error = NULL",
        )
        .bind(twilio_account_key)
        .bind(to)
    };
    store.execute("sweep::swept", statement).await?;
    Ok(())
}

/// Stores that an account could not be swept.
pub(super) async fn failed(
    store: &Store,
    twilio_account_key: i32,
    at: DateTime<Utc>,
    error: &str,
) -> Result<(), StoreError> {
    let error: String = error.chars().take(ERROR_CHARACTERS_MAX).collect();
    let statement = || {
        sqlx::query(
            "-- sweep::failed
             INSERT INTO twilio_sweeps AS s (twilio_account_key, failing_since, last_error)
             VALUES ($1, $2, $3)
             ON CONFLICT (twilio_account_key) DO UPDATE
             SET failing_since = coalesce(s.failing_since, EXCLUDED.failing_since),
                 last_error = EXCLUDED.last_error",
        )
        .bind(twilio_account_key)
        .bind(at)
        .bind(&error)
    };
    store.execute("sweep::failed", statement).await?;
    Ok(())
}
