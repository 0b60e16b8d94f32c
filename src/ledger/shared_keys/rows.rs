//! Rows of stored shared keys: read, written, deleted.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use crate::ledger::LedgerError;
use crate::vault::Sealed;

/// A stored key of an account.
pub(super) struct Stored {
    pub(super) sealed: Sealed,
    pub(super) set_at: DateTime<Utc>,
    pub(super) first_set_at: DateTime<Utc>,
}

/// All keys of an account, by their ids.
pub(super) async fn stored(
    connection: &mut PgConnection,
    account_key: i32,
) -> Result<BTreeMap<String, Stored>, LedgerError> {
    let rows = sqlx::query(
        "-- shared_keys::stored
         SELECT shared_key_id, sealed, key_id, set_at, first_set_at
         FROM twilio_shared_keys WHERE account_key = $1",
    )
    .bind(account_key)
    .fetch_all(connection)
    .await?;
    let read = |row: &PgRow| {
        let stored = Stored {
            sealed: sealed(row)?,
            set_at: row.try_get("set_at")?,
            first_set_at: row.try_get("first_set_at")?,
        };
        Ok((row.try_get("shared_key_id")?, stored))
    };
    rows.iter().map(read).collect()
}

pub(super) fn sealed(row: &PgRow) -> Result<Sealed, LedgerError> {
    Ok(Sealed { key_id: row.try_get("key_id")?, bytes: row.try_get("sealed")? })
}

pub(super) async fn put(
    connection: &mut PgConnection,
    account_key: i32,
    key: &str,
    sealed: &Sealed,
    now: DateTime<Utc>,
    first_set_at: DateTime<Utc>,
) -> Result<(), LedgerError> {
    sqlx::query(
        "-- shared_keys::put
         INSERT INTO twilio_shared_keys
             (account_key, shared_key_id, sealed, key_id, set_at, first_set_at)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT ON CONSTRAINT twilio_shared_keys_pk DO UPDATE SET
             sealed = EXCLUDED.sealed, key_id = EXCLUDED.key_id, set_at = EXCLUDED.set_at",
    )
    .bind(account_key)
    .bind(key)
    .bind(&sealed.bytes)
    .bind(&sealed.key_id)
    .bind(now)
    .bind(first_set_at)
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn forget(
    connection: &mut PgConnection,
    account_key: i32,
    key: &str,
) -> Result<(), LedgerError> {
    sqlx::query(
        "-- shared_keys::forget
         DELETE FROM twilio_shared_keys WHERE account_key = $1 AND shared_key_id = $2",
    )
    .bind(account_key)
    .bind(key)
    .execute(connection)
    .await?;
    Ok(())
}
