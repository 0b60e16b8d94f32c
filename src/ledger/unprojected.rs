//! Wallets that were changed while Redis could not be told, until somebody has projected them.
//!
//! Written by whoever changed them, read by every process that authorizes calls, several times a
//! second; empty as long as Redis answers.

use std::time::Duration;

use callmeter_core::domain::AccountId;
use chrono::{DateTime, Utc};
use sqlx::{PgConnection, Row};

use super::error::LedgerError;
use super::store::StoreError;

/// How long a process may authorize by what it last read of the ledger. Whoever changes what no wallet
/// in Redis tells of commits, waits as long, and answers then: nobody goes by what was before.
pub const LEASE: Duration = Duration::from_secs(1);

/// Notes that Redis may not have the wallet of an account as it is now.
///
/// # Errors
/// Those of the store.
pub async fn note(
    connection: &mut PgConnection,
    account: &AccountId,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    sqlx::query(
        "-- unprojected::note
         INSERT INTO unprojected_wallets AS u (account_key, version, noted_at)
         SELECT account_key, w.version, $2
         FROM accounts AS a JOIN wallets AS w USING (account_key) WHERE a.id = $1
         ON CONFLICT ON CONSTRAINT unprojected_wallets_pk DO UPDATE
         SET version = greatest(u.version, EXCLUDED.version), noted_at = EXCLUDED.noted_at",
    )
    .bind(account.as_str())
    .bind(now)
    .execute(connection)
    .await?;
    Ok(())
}

/// Up to `most` of them, the oldest first.
///
/// # Errors
/// `Unreadable` where an id is none.
pub async fn read(
    connection: &mut PgConnection,
    most: i64,
) -> Result<Vec<(AccountId, i64)>, LedgerError> {
    let rows = sqlx::query(
        "-- unprojected::read
         SELECT a.id, u.version FROM unprojected_wallets AS u JOIN accounts AS a USING (account_key)
         ORDER BY u.noted_at LIMIT $1",
    )
    .bind(most)
    .fetch_all(connection)
    .await?;
    let wallets = rows.into_iter().map(|row| {
        let id: &str = row.try_get("id")?;
        let id = AccountId::parse(id)
            .map_err(|error| LedgerError::unreadable("an account's id", error))?;
        Ok((id, row.try_get("version")?))
    });
    wallets.collect()
}

/// Notes that Redis has the wallet of an account, at this version or a later one.
///
/// # Errors
/// Those of the store.
pub async fn projected(
    connection: &mut PgConnection,
    account: &AccountId,
    version: i64,
) -> Result<(), StoreError> {
    sqlx::query(
        "-- unprojected::projected
         DELETE FROM unprojected_wallets
         WHERE account_key = (SELECT account_key FROM accounts WHERE id = $1) AND version <= $2",
    )
    .bind(account.as_str())
    .bind(version)
    .execute(connection)
    .await?;
    Ok(())
}
