//! Rows of stored tokens: found, written, deleted.

use callmeter_core::domain::{AccountId, TwilioAccountSid};
use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use crate::ledger::LedgerError;
use crate::vault::Sealed;

/// A stored Twilio account.
pub(super) struct Owner {
    pub(super) key: i32,
    pub(super) sid: TwilioAccountSid,
}

pub(super) async fn owner_of(
    connection: &mut PgConnection,
    id: &AccountId,
    sid: Option<&TwilioAccountSid>,
) -> Result<Option<Owner>, LedgerError> {
    let row = sqlx::query(
        "-- tokens::owner_of
         SELECT t.twilio_account_key, t.twilio_account_sid AS owner
         FROM twilio_accounts AS t JOIN accounts AS a USING (account_key)
         WHERE a.id = $1 AND ($2::text IS NULL OR t.twilio_account_sid = $2)
         ORDER BY t.twilio_account_key LIMIT 1",
    )
    .bind(id.as_str())
    .bind(sid.map(TwilioAccountSid::as_str))
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Owner { key: row.try_get("twilio_account_key")?, sid: read_sid(&row, "owner")? }))
}

pub(super) fn read_sid(row: &PgRow, column: &str) -> Result<TwilioAccountSid, LedgerError> {
    TwilioAccountSid::parse(row.try_get(column)?)
        .map_err(|error| LedgerError::unreadable("a Twilio account SID", error))
}

/// When the current token was set; `None`: there is none.
pub(super) async fn set_at(
    connection: &mut PgConnection,
    owner: &Owner,
) -> Result<Option<DateTime<Utc>>, LedgerError> {
    let set_at = sqlx::query_scalar(
        "-- tokens::set_at
         SELECT set_at FROM twilio_tokens WHERE twilio_account_key = $1",
    )
    .bind(owner.key)
    .fetch_optional(connection)
    .await?;
    Ok(set_at)
}

/// Most tokens kept from before the previous one: more changes in so short a time correct tokens
/// that nothing was ever signed with.
const EARLIER_MAX: i64 = 8;

pub(super) async fn put(
    connection: &mut PgConnection,
    owner: &Owner,
    sealed: &Sealed,
    now: DateTime<Utc>,
) -> Result<(), LedgerError> {
    sqlx::query(
        "-- tokens::put, the one that was the previous one
         INSERT INTO twilio_earlier_tokens (twilio_account_key, superseded_at, sealed, key_id)
         SELECT twilio_account_key, superseded_at, previous_sealed, previous_key_id
         FROM twilio_tokens WHERE twilio_account_key = $1 AND previous_sealed IS NOT NULL
         ON CONFLICT ON CONSTRAINT twilio_earlier_tokens_pk DO NOTHING",
    )
    .bind(owner.key)
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "-- tokens::put, no more than so many
         DELETE FROM twilio_earlier_tokens
         WHERE twilio_account_key = $1 AND superseded_at <= (
             SELECT superseded_at FROM twilio_earlier_tokens WHERE twilio_account_key = $1
             ORDER BY superseded_at DESC OFFSET $2 LIMIT 1)",
    )
    .bind(owner.key)
    .bind(EARLIER_MAX)
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "-- tokens::put
         INSERT INTO twilio_tokens AS t (twilio_account_key, sealed, key_id, set_at, first_set_at)
         VALUES ($1, $2, $3, $4, $4)
         ON CONFLICT (twilio_account_key) DO UPDATE SET
             previous_sealed = t.sealed, previous_key_id = t.key_id, superseded_at = $4,
             sealed = EXCLUDED.sealed, key_id = EXCLUDED.key_id, set_at = EXCLUDED.set_at",
    )
    .bind(owner.key)
    .bind(&sealed.bytes)
    .bind(&sealed.key_id)
    .bind(now)
    .execute(connection)
    .await?;
    Ok(())
}

/// Deletes a token with all earlier ones.
pub(super) async fn forget(
    connection: &mut PgConnection,
    owner: &Owner,
) -> Result<(), LedgerError> {
    for statement in [
        "-- tokens::forget, earlier ones
         DELETE FROM twilio_earlier_tokens WHERE twilio_account_key = $1",
        "-- tokens::forget
         DELETE FROM twilio_tokens WHERE twilio_account_key = $1",
    ] {
        sqlx::query(statement).bind(owner.key).execute(&mut *connection).await?;
    }
    Ok(())
}
