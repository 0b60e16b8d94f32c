//! Periodic maintenance of stored tokens: deletes expired ones, seals others again.

use callmeter_core::domain::TwilioAccountSid;
use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use super::{TwilioTokens, read_sid};
use crate::ledger::LedgerError;
use crate::vault::{Sealed, Vault, VaultError};

/// Rows sealed again in one transaction.
const RESEALED_AT_ONCE: i64 = 100;

/// The parameter of each: tokens replaced at or before this time have expired.
const FORGET: [&str; 2] = [
    "-- tokens::tend, forget
     UPDATE twilio_tokens
     SET previous_sealed = NULL, previous_key_id = NULL, superseded_at = NULL
     WHERE superseded_at <= $1",
    "-- tokens::tend, forget earlier ones
     DELETE FROM twilio_earlier_tokens WHERE superseded_at <= $1",
];

/// The result of a round of maintenance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tended {
    /// Replaced tokens that expired and were deleted.
    pub forgotten: u64,
    /// Rows that an older key had sealed, now sealed by the current one.
    pub resealed: u64,
    /// Rows that no key in the settings opens.
    pub lost: i64,
}

impl TwilioTokens {
    /// Deletes expired tokens, and seals again what an older key sealed, a limited number at a
    /// time.
    ///
    /// # Errors
    /// If Postgres fails, or holds a value that cannot be read.
    pub async fn tend(
        &self,
        connection: &mut PgConnection,
        now: DateTime<Utc>,
    ) -> Result<Tended, LedgerError> {
        let mut tended = Tended::default();
        for statement in FORGET {
            let over = now - self.previous_counts_for;
            let forgotten = sqlx::query(statement).bind(over).execute(&mut *connection).await?;
            tended.forgotten += forgotten.rows_affected();
        }
        let Some(vault) = &self.vault else { return Ok(tended) };
        let rows = sqlx::query(
            "-- tokens::tend, sealed by an older key
             SELECT owner.twilio_account_key, owner.twilio_account_sid AS owner,
                 t.sealed, t.key_id, t.previous_sealed, t.previous_key_id, t.superseded_at
             FROM twilio_tokens AS t JOIN twilio_accounts AS owner USING (twilio_account_key)
             WHERE t.key_id = ANY ($2) OR t.previous_key_id = ANY ($2)
             ORDER BY t.twilio_account_key LIMIT $1 FOR UPDATE OF t SKIP LOCKED",
        )
        .bind(RESEALED_AT_ONCE)
        .bind(vault.older_key_ids())
        .fetch_all(&mut *connection)
        .await?;
        for row in &rows {
            tended.resealed += reseal(connection, vault, row).await?;
        }
        tended.resealed += reseal_earlier(connection, vault).await?;
        tended.lost = sqlx::query_scalar(
            "-- tokens::tend, lost
             SELECT count(*) FROM twilio_tokens WHERE NOT key_id = ANY ($1)",
        )
        .bind(vault.key_ids())
        .fetch_one(connection)
        .await?;
        Ok(tended)
    }
}

/// Seals a token again. One that cannot be opened stays: the settings may have its key again later.
fn again(vault: &Vault, owner: &TwilioAccountSid, sealed: Sealed) -> Result<Sealed, LedgerError> {
    let Ok(secret) = vault.open(owner.as_str(), &sealed) else { return Ok(sealed) };
    let sealed = vault.seal(owner.as_str(), &secret);
    sealed.map_err(|error: VaultError| LedgerError::unreadable("a token", error))
}

async fn reseal(
    connection: &mut PgConnection,
    vault: &Vault,
    row: &PgRow,
) -> Result<u64, LedgerError> {
    let owner = read_sid(row, "owner")?;
    let (key_id, bytes) = (row.try_get("key_id")?, row.try_get("sealed")?);
    let current = again(vault, &owner, Sealed { key_id, bytes })?;
    let previous: Option<String> = row.try_get("previous_key_id")?;
    let previous = match previous {
        Some(key_id) => {
            let bytes = row.try_get("previous_sealed")?;
            Some(again(vault, &owner, Sealed { key_id, bytes })?)
        }
        None => None,
    };
    let updated = sqlx::query(
        "-- tokens::reseal
         UPDATE twilio_tokens
         SET sealed = $2, key_id = $3, previous_sealed = $4, previous_key_id = $5
         WHERE twilio_account_key = $1",
    )
    .bind(row.try_get::<i32, _>("twilio_account_key")?)
    .bind(&current.bytes)
    .bind(&current.key_id)
    .bind(previous.as_ref().map(|sealed| &sealed.bytes))
    .bind(previous.as_ref().map(|sealed| &sealed.key_id))
    .execute(connection)
    .await?;
    Ok(updated.rows_affected())
}

async fn reseal_earlier(connection: &mut PgConnection, vault: &Vault) -> Result<u64, LedgerError> {
    let rows = sqlx::query(
        "-- tokens::reseal_earlier, sealed by an older key
         SELECT t.twilio_account_key, owner.twilio_account_sid AS owner, t.superseded_at,
             t.sealed, t.key_id
         FROM twilio_earlier_tokens AS t JOIN twilio_accounts AS owner USING (twilio_account_key)
         WHERE t.key_id = ANY ($2)
         ORDER BY t.twilio_account_key LIMIT $1 FOR UPDATE OF t SKIP LOCKED",
    )
    .bind(RESEALED_AT_ONCE)
    .bind(vault.older_key_ids())
    .fetch_all(&mut *connection)
    .await?;
    for row in &rows {
        let (key_id, bytes) = (row.try_get("key_id")?, row.try_get("sealed")?);
        let sealed = again(vault, &read_sid(row, "owner")?, Sealed { key_id, bytes })?;
        sqlx::query(
            "-- tokens::reseal_earlier
             UPDATE twilio_earlier_tokens SET sealed = $3, key_id = $4
             WHERE twilio_account_key = $1 AND superseded_at = $2",
        )
        .bind(row.try_get::<i32, _>("twilio_account_key")?)
        .bind(row.try_get::<DateTime<Utc>, _>("superseded_at")?)
        .bind(&sealed.bytes)
        .bind(&sealed.key_id)
        .execute(&mut *connection)
        .await?;
    }
    Ok(u64::try_from(rows.len()).unwrap_or_default())
}
