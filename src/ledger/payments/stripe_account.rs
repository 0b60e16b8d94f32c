//! Which Stripe account this ledger belongs to, and its own id there.

use chrono::{DateTime, Utc};
use sqlx::types::Uuid;
use sqlx::{PgConnection, Row};

use crate::ledger::error::LedgerError;
use crate::ledger::store::StoreError;

/// The id that names this ledger in the metadata of Stripe's objects.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn ledger_id(connection: &mut PgConnection) -> Result<String, StoreError> {
    let id: Uuid =
        sqlx::query_scalar("/* stripe_account::ledger_id */ SELECT ledger_id FROM ledger_identity")
            .fetch_one(connection)
            .await?;
    Ok(id.to_string())
}

/// A Stripe account and its mode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StripeAccount {
    /// `acct_…`
    pub id: String,
    /// False in Stripe's test mode.
    pub livemode: bool,
}

/// Records the Stripe account of this ledger if none is recorded; returns the recorded one.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn record(
    connection: &mut PgConnection,
    account: &StripeAccount,
    now: DateTime<Utc>,
) -> Result<StripeAccount, LedgerError> {
    sqlx::query(
        "/* stripe_account::record */
         INSERT INTO stripe_account (account, livemode, recorded_at) VALUES ($1, $2, $3)
         ON CONFLICT (singleton) DO NOTHING",
    )
    .bind(&account.id)
    .bind(account.livemode)
    .bind(now)
    .execute(&mut *connection)
    .await?;
    let recorded = read(connection).await?;
    recorded.ok_or_else(|| LedgerError::unreadable("the Stripe account", "it vanished"))
}

/// Reads the Stripe account of this ledger; `None`: no payment was made yet.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn read(connection: &mut PgConnection) -> Result<Option<StripeAccount>, StoreError> {
    let row =
        sqlx::query("/* stripe_account::read */ SELECT account, livemode FROM stripe_account")
            .fetch_optional(connection)
            .await?;
    let account = |row: sqlx::postgres::PgRow| {
        Ok(StripeAccount { id: row.try_get("account")?, livemode: row.try_get("livemode")? })
    };
    row.map(account).transpose()
}
