//! Setups of cards, for the limits of an hour. Rows older than a day are deleted.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;

use crate::ledger::store::StoreError;

/// How long a setup is kept.
const KEPT_FOR: TimeDelta = TimeDelta::days(1);

/// Notes that an account begins a setup, unless it began `most` others since `hour_ago`. False: it
/// did. The request itself counts once, however often it is repeated. Call it under the wallet's
/// lock.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn begin(
    connection: &mut PgConnection,
    account_key: i32,
    request_sha256: &[u8],
    most: Option<i64>,
    (hour_ago, now): (DateTime<Utc>, DateTime<Utc>),
) -> Result<bool, StoreError> {
    sqlx::query(
        "/* card_setups::begin, purge */
         DELETE FROM card_setups WHERE account_key = $1 AND begun_at < $2",
    )
    .bind(account_key)
    .bind(now - KEPT_FOR)
    .execute(&mut *connection)
    .await?;
    let begun: i64 = sqlx::query_scalar(
        "/* card_setups::begin, count */
         SELECT count(*) FROM card_setups
         WHERE account_key = $1 AND begun_at > $2 AND request_sha256 <> $3",
    )
    .bind(account_key)
    .bind(hour_ago)
    .bind(request_sha256)
    .fetch_one(&mut *connection)
    .await?;
    if most.is_some_and(|most| begun >= most) {
        return Ok(false);
    }
    sqlx::query(
        "/* card_setups::begin */ INSERT INTO card_setups (account_key, request_sha256, begun_at)
         VALUES ($1, $2, $3) ON CONFLICT (account_key, request_sha256) DO NOTHING",
    )
    .bind(account_key)
    .bind(request_sha256)
    .bind(now)
    .execute(connection)
    .await?;
    Ok(true)
}

/// Notes which setup Stripe made for a request.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn made(
    connection: &mut PgConnection,
    account_key: i32,
    request_sha256: &[u8],
    setup_intent: &str,
) -> Result<(), StoreError> {
    sqlx::query(
        "/* card_setups::made */ UPDATE card_setups SET setup_intent = $3
         WHERE account_key = $1 AND request_sha256 = $2 AND setup_intent IS NULL",
    )
    .bind(account_key)
    .bind(request_sha256)
    .bind(setup_intent)
    .execute(connection)
    .await?;
    Ok(())
}

/// Notes that a try of a setup was declined; returns its account, if the setup is known.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn declined(
    connection: &mut PgConnection,
    setup_intent: &str,
    at: DateTime<Utc>,
) -> Result<Option<i32>, StoreError> {
    let account = sqlx::query_scalar(
        "/* card_setups::declined */ UPDATE card_setups SET declined_at = declined_at || $2
         WHERE setup_intent = $1 RETURNING account_key",
    );
    Ok(account.bind(setup_intent).bind(at).fetch_optional(connection).await?)
}

/// Counts the declined tries of an account's setups since a time.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn declines(
    connection: &mut PgConnection,
    account_key: i32,
    since: DateTime<Utc>,
) -> Result<i64, StoreError> {
    let count = sqlx::query_scalar(
        "/* card_setups::declines */
         SELECT count(*) FROM card_setups, unnest(declined_at) AS declined(at)
         WHERE account_key = $1 AND declined.at > $2",
    );
    Ok(count.bind(account_key).bind(since).fetch_one(connection).await?)
}

/// The setups of an account that are not canceled yet. One that a card was saved by is among them.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn open(
    connection: &mut PgConnection,
    account_key: i32,
) -> Result<Vec<String>, StoreError> {
    let setups = sqlx::query_scalar(
        "/* card_setups::open */ SELECT setup_intent FROM card_setups
         WHERE account_key = $1 AND setup_intent IS NOT NULL AND canceled_at IS NULL",
    );
    Ok(setups.bind(account_key).fetch_all(connection).await?)
}

/// Notes that a setup is canceled.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn canceled(
    connection: &mut PgConnection,
    setup_intent: &str,
    at: DateTime<Utc>,
) -> Result<(), StoreError> {
    sqlx::query(
        "/* card_setups::canceled */ UPDATE card_setups SET canceled_at = $2
         WHERE setup_intent = $1 AND canceled_at IS NULL",
    )
    .bind(setup_intent)
    .bind(at)
    .execute(connection)
    .await?;
    Ok(())
}
