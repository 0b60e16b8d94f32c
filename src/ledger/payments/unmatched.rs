//! Payments with this ledger's id that fit none of its refills. They are kept, never credited by
//! themselves, and alarm until an administrator resolves them.

use callmeter_core::domain::PaymentIntentId;
use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgConnection};

use crate::ledger::store::StoreError;

/// Why a payment does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// It is of another amount than the refill.
    Amount,
    /// It is not in USD.
    Currency,
    /// It is of another customer than the refill's account.
    Customer,
    /// The ledger has no such refill.
    UnknownRefill,
    /// The refill was completed by another payment.
    PaidTwice,
}

impl Mismatch {
    /// Its word in the table and in logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Amount => "amount",
            Self::Currency => "currency",
            Self::Customer => "customer",
            Self::UnknownRefill => "unknown_refill",
            Self::PaidTwice => "paid_twice",
        }
    }
}

/// A payment to keep.
#[derive(Clone, Debug)]
pub struct Unmatched<'a> {
    /// The payment intent.
    pub payment_intent: &'a str,
    /// The refill that its metadata names.
    pub refill: Option<&'a str>,
    /// Why it does not fit.
    pub reason: Mismatch,
    /// Cents.
    pub amount: i64,
    /// Lower-case, such as `usd`.
    pub currency: &'a str,
    /// The customer.
    pub customer: Option<&'a str>,
}

/// Keeps a payment; one that is kept already stays as it is. True if it was not kept before.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn keep(
    connection: &mut PgConnection,
    payment: &Unmatched<'_>,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let kept = sqlx::query(
        "/* unmatched::keep */
         INSERT INTO unmatched_payments
             (payment_intent, refill, reason, amount_cents, currency, customer, found_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (payment_intent) DO NOTHING",
    )
    .bind(payment.payment_intent)
    .bind(payment.refill)
    .bind(payment.reason.as_str())
    .bind(payment.amount)
    .bind(payment.currency)
    .bind(payment.customer)
    .bind(now)
    .execute(connection)
    .await?;
    Ok(kept.rows_affected() == 1)
}

/// How an administrator settles a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// Credited to its account.
    Credit,
    /// Sent back to the card.
    Refund,
}

impl Resolution {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Credit, Self::Refund];

    /// Reads its word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == text)
    }

    /// Its word in the table.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Credit => "credit",
            Self::Refund => "refund",
        }
    }
}

/// A kept payment.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Kept {
    /// The payment intent.
    pub payment_intent: String,
    /// The refill that its metadata names.
    pub refill: Option<String>,
    /// Why it does not fit.
    pub reason: String,
    /// Cents.
    #[sqlx(rename = "amount_cents")]
    pub amount: i64,
    /// Lower-case, such as `usd`.
    pub currency: String,
    /// The customer.
    pub customer: Option<String>,
    /// When it was found.
    pub found_at: DateTime<Utc>,
    /// When an administrator settled it; none: nobody did.
    pub resolved_at: Option<DateTime<Utc>>,
    /// How: `credit` or `refund`.
    pub resolution: Option<String>,
}

/// Most payments of a list: each is an alarm, so there are few.
const LISTED_MAX: i64 = 1_000;

/// Reads a kept payment; `None`: it is not kept.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn find(
    connection: &mut PgConnection,
    intent: &PaymentIntentId,
) -> Result<Option<Kept>, StoreError> {
    let kept = sqlx::query_as(
        "/* unmatched::find */
         SELECT payment_intent, refill, reason, amount_cents, currency, customer, found_at,
             resolved_at, resolution
         FROM unmatched_payments WHERE payment_intent = $1",
    );
    Ok(kept.bind(intent.as_str()).fetch_optional(connection).await?)
}

/// Lists the payments that nobody has settled, the oldest first; at most a thousand.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn list_open(connection: &mut PgConnection) -> Result<Vec<Kept>, StoreError> {
    let kept = sqlx::query_as(
        "/* unmatched::list_open */
         SELECT payment_intent, refill, reason, amount_cents, currency, customer, found_at,
             resolved_at, resolution
         FROM unmatched_payments WHERE resolved_at IS NULL
         ORDER BY found_at, payment_intent LIMIT $1",
    );
    Ok(kept.bind(LISTED_MAX).fetch_all(connection).await?)
}

/// Notes how a payment was settled; false: it was settled before.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn resolve(
    connection: &mut PgConnection,
    intent: &PaymentIntentId,
    resolution: Resolution,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let resolved = sqlx::query(
        "/* unmatched::resolve */ UPDATE unmatched_payments SET resolved_at = $2, resolution = $3
         WHERE payment_intent = $1 AND resolved_at IS NULL",
    )
    .bind(intent.as_str())
    .bind(now)
    .bind(resolution.as_str())
    .execute(connection)
    .await?;
    Ok(resolved.rows_affected() == 1)
}

/// Notes that a kept payment fits a refill after all, in the transaction that credits it. False: an
/// administrator settled it before, so it must not be credited.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn close_credited(
    connection: &mut PgConnection,
    intent: &PaymentIntentId,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let is_closed = resolve(connection, intent, Resolution::Credit, now).await?;
    Ok(is_closed || !is_resolved(connection, intent).await?)
}

/// True if an administrator settled a payment.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn is_resolved(
    connection: &mut PgConnection,
    intent: &PaymentIntentId,
) -> Result<bool, StoreError> {
    let is_resolved = sqlx::query_scalar(
        "/* unmatched::is_resolved */ SELECT EXISTS (
             SELECT FROM unmatched_payments WHERE payment_intent = $1 AND resolved_at IS NOT NULL)",
    );
    Ok(is_resolved.bind(intent.as_str()).fetch_one(connection).await?)
}

/// True if a payment without a refill is no sign that the ledger went back in time: it was settled,
/// or a recovery could not match it. One that only a web hook brought is a sign.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn is_explained(
    connection: &mut PgConnection,
    intent: &PaymentIntentId,
) -> Result<bool, StoreError> {
    let is_explained = sqlx::query_scalar(
        "/* unmatched::is_explained */ SELECT EXISTS (
             SELECT FROM unmatched_payments WHERE payment_intent = $1
                 AND (resolved_at IS NOT NULL OR recovery_at IS NOT NULL))",
    );
    Ok(is_explained.bind(intent.as_str()).fetch_one(connection).await?)
}

/// Notes that a recovery could not match a kept payment.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn note_recovery(
    connection: &mut PgConnection,
    intent: &PaymentIntentId,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    sqlx::query(
        "/* unmatched::note_recovery */ UPDATE unmatched_payments SET recovery_at = $2
         WHERE payment_intent = $1",
    )
    .bind(intent.as_str())
    .bind(now)
    .execute(connection)
    .await?;
    Ok(())
}

/// Counts the payments that nobody has resolved.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn count_open(connection: &mut PgConnection) -> Result<i64, StoreError> {
    let count = sqlx::query_scalar(
        "/* unmatched::count_open */
         SELECT count(*) FROM unmatched_payments WHERE resolved_at IS NULL",
    );
    Ok(count.fetch_one(connection).await?)
}
