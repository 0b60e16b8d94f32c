//! Wallets that changed while Redis was unavailable, until they are projected.
//!
//! Written by the process that changed them, read several times a second by every process that
//! authorizes calls; empty as long as Redis is available.

use std::time::Duration;

use callmeter_core::domain::{AccountId, CatalogVersion};
use chrono::{DateTime, Utc};
use sqlx::{PgConnection, Row};

use super::catalogs::CatalogStamp;
use super::error::LedgerError;
use super::store::{Store, StoreError};

/// How long a process may authorize by its last read of the ledger. A change that Redis could not
/// be told about is answered one lease after its commit; by then no process acts on the old state.
pub const LEASE: Duration = Duration::from_secs(1);

/// Records that Redis may lack the current wallet of an account.
///
/// # Errors
/// If Postgres is unavailable or refuses the statement.
pub async fn note(
    store: &Store,
    account: &AccountId,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let statement = || {
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
    };
    store.execute("unprojected::note", statement).await?;
    Ok(())
}

/// The latest catalog's stamp and at most `most` recorded wallets, oldest first: one statement,
/// because every process runs it several times a second.
///
/// # Errors
/// `Unreadable` if an id is invalid.
pub async fn look(
    connection: &mut PgConnection,
    most: i64,
) -> Result<(Option<CatalogStamp>, Vec<(AccountId, i64)>), LedgerError> {
    let rows = sqlx::query(
        "-- unprojected::look
         SELECT c.version AS catalog_version, c.accepted_at, n.id, n.version
         FROM (SELECT) AS one
         LEFT JOIN (SELECT version, accepted_at FROM catalog_versions ORDER BY version DESC LIMIT 1)
             AS c ON true
         LEFT JOIN (
             SELECT a.id, u.version, u.noted_at
             FROM unprojected_wallets AS u JOIN accounts AS a USING (account_key)
             ORDER BY u.noted_at LIMIT $1) AS n ON true
         ORDER BY n.noted_at",
    )
    .bind(most)
    .fetch_all(connection)
    .await?;
    let mut stamp = None;
    let mut wallets = Vec::new();
    for row in rows {
        if let Some(version) = row.try_get("catalog_version")? {
            let (version, accepted_at) = (CatalogVersion(version), row.try_get("accepted_at")?);
            stamp = Some(CatalogStamp { version, accepted_at });
        }
        if let Some(id) = row.try_get::<Option<&str>, _>("id")? {
            let id = AccountId::parse(id)
                .map_err(|error| LedgerError::unreadable("an account's id", error))?;
            wallets.push((id, row.try_get("version")?));
        }
    }
    Ok((stamp, wallets))
}

/// Records that Redis has the wallet of an account, at this version or a later one.
///
/// # Errors
/// Those of the store.
pub async fn projected(store: &Store, account: &AccountId, version: i64) -> Result<(), StoreError> {
    let statement = || {
        sqlx::query(
            "-- unprojected::projected
             DELETE FROM unprojected_wallets
             WHERE account_key = (SELECT account_key FROM accounts WHERE id = $1) AND version <= $2",
        )
        .bind(account.as_str())
        .bind(version)
    };
    store.execute("unprojected::projected", statement).await?;
    Ok(())
}
