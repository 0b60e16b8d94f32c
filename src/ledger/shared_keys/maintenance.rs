//! Seals stored shared keys again when the settings have a new key.

use callmeter_core::domain::AccountId;
use sqlx::{PgConnection, Row};

use super::rows::sealed;
use super::{SharedKeys, bound_to, unreadable};
use crate::ledger::LedgerError;

/// Rows sealed again in one transaction.
const RESEALED_AT_ONCE: i64 = 100;

/// The result of a round of maintenance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeysTended {
    /// Keys that an older key had sealed, now sealed by the current one.
    pub resealed: u64,
    /// Keys that no key in the settings opens.
    pub lost: i64,
}

impl SharedKeys {
    /// Seals keys again that an older key sealed, a limited number at a time.
    ///
    /// # Errors
    /// If Postgres fails, or holds a value that cannot be read.
    pub async fn tend(&self, connection: &mut PgConnection) -> Result<KeysTended, LedgerError> {
        let mut tended = KeysTended::default();
        let Some(vault) = &self.vault else { return Ok(tended) };
        let rows = sqlx::query(
            "-- shared_keys::tend, sealed by an older key
             SELECT k.account_key, owner.id AS account, k.shared_key_id, k.sealed, k.key_id
             FROM twilio_shared_keys AS k JOIN accounts AS owner USING (account_key)
             WHERE k.key_id = ANY ($2)
             ORDER BY k.account_key LIMIT $1 FOR UPDATE OF k SKIP LOCKED",
        )
        .bind(RESEALED_AT_ONCE)
        .bind(vault.older_key_ids())
        .fetch_all(&mut *connection)
        .await?;
        for row in &rows {
            let account = AccountId::parse(row.try_get("account")?).map_err(unreadable)?;
            let id: String = row.try_get("shared_key_id")?;
            let owner = bound_to(&account, &id);
            // A key that cannot be opened stays as it is: the settings may have its key again
            // later.
            let Ok(secret) = vault.open(&owner, &sealed(row)?) else { continue };
            let anew = vault.seal(&owner, &secret).map_err(unreadable)?;
            sqlx::query(
                "-- shared_keys::tend
                 UPDATE twilio_shared_keys SET sealed = $3, key_id = $4
                 WHERE account_key = $1 AND shared_key_id = $2",
            )
            .bind(row.try_get::<i32, _>("account_key")?)
            .bind(&id)
            .bind(&anew.bytes)
            .bind(&anew.key_id)
            .execute(&mut *connection)
            .await?;
            tended.resealed += 1;
        }
        tended.lost = sqlx::query_scalar(
            "-- shared_keys::tend, lost
             SELECT count(*) FROM twilio_shared_keys WHERE NOT key_id = ANY ($1)",
        )
        .bind(vault.key_ids())
        .fetch_one(connection)
        .await?;
        Ok(tended)
    }
}
