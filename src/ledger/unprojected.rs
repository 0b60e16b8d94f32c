//! Wallets that were changed while Redis could not be told, until somebody has projected them.
//!
//! Written by whoever changed them, read by every process that authorizes calls, several times a
//! second; empty as long as Redis answers.

use std::time::Duration;

use callmeter_core::domain::{AccountId, CatalogVersion};
use chrono::{DateTime, Utc};
use sqlx::{PgConnection, Row};

use super::catalogs::CatalogStamp;
use super::error::LedgerError;
use super::store::StoreError;

/// How long a process may authorize by what it last read of the ledger. Whoever changes what no wallet
/// in Redis tells of commits, waits as long, and answers then: nobody goes by what was before.
pub const LEASE: Duration = Duration::from_secs(1);

/// Notes that Redis may not have the wallet of an account as it is now.
///
/// # Errors
/// If Postgres is unavailable or refuses the statement.
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

/// The latest catalog's stamp and up to `most` noted wallets, the oldest first: one statement, because
/// every process asks this several times a second.
///
/// # Errors
/// `Unreadable` where an id is none.
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

/// Notes that Redis has the wallet of an account, at this version or a later one.
///
/// # Errors
/// If Postgres is unavailable or refuses the statement.
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
