//! Saved cards, as Stripe last listed them, and Stripe's customers.

use callmeter_core::domain::{AccountId, PaymentMethodId, StripeCustomerId};
use chrono::{DateTime, Utc};
use sqlx::{PgConnection, Row};

use super::refills::CardFace;
use crate::ledger::error::LedgerError;
use crate::ledger::store::StoreError;

/// A saved card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedCard {
    /// Its id at Stripe.
    pub id: PaymentMethodId,
    /// Brand and last four digits.
    pub face: CardFace,
    /// Month of expiry, 1 to 12.
    pub exp_month: i16,
    /// Year of expiry, four digits.
    pub exp_year: i16,
    /// True if refills use it when they name none.
    pub is_default: bool,
    /// When Stripe created it.
    pub added_at: DateTime<Utc>,
}

/// The Stripe customer of an account; `None`: it has none yet.
///
/// # Errors
/// If Postgres fails, or holds a value that cannot be read.
pub async fn customer(
    connection: &mut PgConnection,
    account_key: i32,
) -> Result<Option<StripeCustomerId>, LedgerError> {
    let id: Option<String> = sqlx::query_scalar(
        "/* cards::customer */ SELECT customer FROM stripe_customers WHERE account_key = $1",
    )
    .bind(account_key)
    .fetch_optional(connection)
    .await?;
    let unreadable = |error| LedgerError::unreadable("a Stripe customer", error);
    id.map(|id| StripeCustomerId::parse(&id)).transpose().map_err(unreadable)
}

/// The account of a Stripe customer; `None`: it is none of ours.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn owner(
    connection: &mut PgConnection,
    customer: &StripeCustomerId,
) -> Result<Option<i32>, StoreError> {
    let owner = sqlx::query_scalar(
        "/* cards::owner */ SELECT account_key FROM stripe_customers WHERE customer = $1",
    );
    Ok(owner.bind(customer.as_str()).fetch_optional(connection).await?)
}

/// The id of an account by its key; `None`: there is none.
///
/// # Errors
/// If Postgres fails, or holds a value that cannot be read.
pub async fn account_id(
    connection: &mut PgConnection,
    account_key: i32,
) -> Result<Option<AccountId>, LedgerError> {
    let id: Option<String> = sqlx::query_scalar(
        "/* cards::account_id */ SELECT id FROM accounts WHERE account_key = $1",
    )
    .bind(account_key)
    .fetch_optional(connection)
    .await?;
    let id = id.map(|id| AccountId::parse(&id)).transpose();
    id.map_err(|error| LedgerError::unreadable("an account id", error))
}

/// The account of a saved card; `None`: it is none of ours.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn holder(
    connection: &mut PgConnection,
    card: &PaymentMethodId,
) -> Result<Option<i32>, StoreError> {
    let holder = sqlx::query_scalar(
        "/* cards::holder */ SELECT account_key FROM payment_methods WHERE payment_method = $1",
    );
    Ok(holder.bind(card.as_str()).fetch_optional(connection).await?)
}

/// Stores the Stripe customer of an account; an earlier one stays. Returns the stored one.
///
/// # Errors
/// If Postgres fails, or holds a value that cannot be read.
pub async fn keep_customer(
    connection: &mut PgConnection,
    account_key: i32,
    id: &StripeCustomerId,
    now: DateTime<Utc>,
) -> Result<StripeCustomerId, LedgerError> {
    sqlx::query(
        "/* cards::keep_customer */
         INSERT INTO stripe_customers (account_key, customer, created_at) VALUES ($1, $2, $3)
         ON CONFLICT (account_key) DO NOTHING",
    )
    .bind(account_key)
    .bind(id.as_str())
    .bind(now)
    .execute(&mut *connection)
    .await?;
    let stored = customer(connection, account_key).await?;
    stored.ok_or_else(|| LedgerError::unreadable("a Stripe customer", "it vanished"))
}

/// The saved cards of an account, newest first.
///
/// # Errors
/// If Postgres fails, or holds a value that cannot be read.
pub async fn list(
    connection: &mut PgConnection,
    account_key: i32,
) -> Result<Vec<SavedCard>, LedgerError> {
    let rows = sqlx::query(
        "/* cards::list */
         SELECT payment_method, brand, last4, exp_month, exp_year, is_default, added_at
         FROM payment_methods WHERE account_key = $1 ORDER BY added_at DESC, payment_method",
    )
    .bind(account_key)
    .fetch_all(connection)
    .await?;
    let unreadable = |error| LedgerError::unreadable("a payment method", error);
    let card = |row: &sqlx::postgres::PgRow| {
        Ok(SavedCard {
            id: PaymentMethodId::parse(row.try_get("payment_method")?).map_err(unreadable)?,
            face: CardFace { brand: row.try_get("brand")?, last4: row.try_get("last4")? },
            exp_month: row.try_get("exp_month")?,
            exp_year: row.try_get("exp_year")?,
            is_default: row.try_get("is_default")?,
            added_at: row.try_get("added_at")?,
        })
    };
    rows.iter().map(card).collect()
}

/// Replaces the stored cards of an account with those that Stripe listed. The default stays if it
/// is still there; else the newest becomes the default. Two of these at once wait for each other.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn replace(
    connection: &mut PgConnection,
    account_key: i32,
    cards: &[SavedCard],
) -> Result<(), StoreError> {
    sqlx::query(
        "/* cards::replace, lock */
         SELECT FROM stripe_customers WHERE account_key = $1 FOR UPDATE",
    )
    .bind(account_key)
    .execute(&mut *connection)
    .await?;
    let ids: Vec<&str> = cards.iter().map(|card| card.id.as_str()).collect();
    sqlx::query(
        "/* cards::replace, gone */
         DELETE FROM payment_methods WHERE account_key = $1 AND NOT payment_method = ANY ($2)",
    )
    .bind(account_key)
    .bind(&ids)
    .execute(&mut *connection)
    .await?;
    for card in cards {
        sqlx::query(
            "/* cards::replace */
             INSERT INTO payment_methods
                 (payment_method, account_key, brand, last4, exp_month, exp_year, added_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7)
             ON CONFLICT (payment_method) DO UPDATE SET account_key = EXCLUDED.account_key,
                 exp_month = EXCLUDED.exp_month, exp_year = EXCLUDED.exp_year",
        )
        .bind(card.id.as_str())
        .bind(account_key)
        .bind(&card.face.brand)
        .bind(&card.face.last4)
        .bind(card.exp_month)
        .bind(card.exp_year)
        .bind(card.added_at)
        .execute(&mut *connection)
        .await?;
    }
    sqlx::query(
        "/* cards::replace, default */
         UPDATE payment_methods SET is_default = true
         WHERE payment_method = (
                 SELECT payment_method FROM payment_methods WHERE account_key = $1
                 ORDER BY added_at DESC, payment_method LIMIT 1)
           AND NOT EXISTS (SELECT FROM payment_methods WHERE account_key = $1 AND is_default)",
    )
    .bind(account_key)
    .execute(connection)
    .await?;
    Ok(())
}

/// Makes a card the default; false: the account has no such card.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn set_default(
    connection: &mut PgConnection,
    account_key: i32,
    id: &PaymentMethodId,
) -> Result<bool, StoreError> {
    let known: bool = sqlx::query_scalar(
        "/* cards::set_default */ SELECT EXISTS (
             SELECT FROM payment_methods WHERE account_key = $1 AND payment_method = $2)",
    )
    .bind(account_key)
    .bind(id.as_str())
    .fetch_one(&mut *connection)
    .await?;
    if !known {
        return Ok(false);
    }
    // In two statements: at no moment are there two defaults.
    sqlx::query(
        "/* cards::set_default, old */
         UPDATE payment_methods SET is_default = false
         WHERE account_key = $1 AND is_default AND payment_method <> $2",
    )
    .bind(account_key)
    .bind(id.as_str())
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "/* cards::set_default, new */
         UPDATE payment_methods SET is_default = true
         WHERE account_key = $1 AND payment_method = $2",
    )
    .bind(account_key)
    .bind(id.as_str())
    .execute(connection)
    .await?;
    Ok(true)
}
