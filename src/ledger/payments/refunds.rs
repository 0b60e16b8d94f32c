//! Refunds of refills to their card: those that we ask for, and those made at Stripe.
//!
//! The money of one that we ask for is reserved in its wallet until it is booked. Everything here
//! that changes money is written under the wallet's lock.

use callmeter_core::domain::{AccountId, Money, RefillId, RefundId, RefundStatus};
use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use crate::ledger::error::LedgerError;
use crate::ledger::store::{Store, StoreError};
use crate::ledger::wallets::{self, WalletHead};

const COLUMNS: &str = "refund, refill, account_key,
    (SELECT a.id FROM accounts AS a WHERE a.account_key = refunds.account_key) AS account,
    (SELECT r.payment_intent FROM refills AS r WHERE r.refill = refunds.refill) AS payment_intent,
    amount_micros, status, is_ours, is_checked, attempt, stripe_refund, debit_sequence,
    reversal_sequence, request_sha256, created_at, claimed_until, finished_at";

/// A refund.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the columns are documented in the schema")]
pub struct Refund {
    pub id: RefundId,
    pub refill: RefillId,
    pub account_key: i32,
    pub account: AccountId,
    pub payment_intent: Option<String>,
    pub amount: Money,
    pub status: RefundStatus,
    pub is_ours: bool,
    pub is_checked: bool,
    pub attempt: i32,
    pub stripe_refund: Option<String>,
    pub debit_sequence: Option<i64>,
    pub reversal_sequence: Option<i64>,
    pub request_sha256: Option<Vec<u8>>,
    pub created_at: DateTime<Utc>,
    pub claimed_until: DateTime<Utc>,
    pub finished_at: Option<DateTime<Utc>>,
}

/// A refund to insert, `pending`.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the columns are documented in the schema")]
pub struct NewRefund<'a> {
    pub id: &'a RefundId,
    pub refill: &'a RefillId,
    pub account_key: i32,
    pub amount: Money,
    pub is_ours: bool,
    pub is_checked: bool,
    pub stripe_refund: Option<&'a str>,
    pub request: Option<(&'a str, [u8; 32])>,
    pub created_at: DateTime<Utc>,
    pub claimed_until: DateTime<Utc>,
}

/// Inserts a refund.
///
/// # Errors
/// `Conflict` if the same request or refund of Stripe's was stored meanwhile: run it again.
pub async fn insert(connection: &mut PgConnection, new: &NewRefund<'_>) -> Result<(), StoreError> {
    sqlx::query(
        "/* refunds::insert */
         INSERT INTO refunds (refund, refill, account_key, amount_micros, status, is_ours,
             is_checked, stripe_refund, request_key, request_sha256, created_at, claimed_until)
         VALUES ($1, $2, $3, $4, 'pending', $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(new.id.as_str())
    .bind(new.refill.as_str())
    .bind(new.account_key)
    .bind(new.amount.micros())
    .bind(new.is_ours)
    .bind(new.is_checked)
    .bind(new.stripe_refund)
    .bind(new.request.map(|(key, _)| key))
    .bind(new.request.as_ref().map(|(_, sha256)| sha256.as_slice()))
    .bind(new.created_at)
    .bind(new.claimed_until)
    .execute(connection)
    .await?;
    Ok(())
}

/// Which refund to read.
#[derive(Clone, Copy, Debug)]
pub enum Which<'a> {
    /// By its id.
    Id(&'a RefundId),
    /// By Stripe's id.
    Stripe(&'a str),
    /// By the Idempotency-Key of its request.
    Request(i32, &'a str),
}

/// Reads a refund.
///
/// # Errors
/// If Postgres fails, or holds a value that cannot be read.
pub async fn find(
    connection: &mut PgConnection,
    which: Which<'_>,
) -> Result<Option<Refund>, LedgerError> {
    let (condition, key, account_key) = match which {
        Which::Id(id) => ("refund = $1 AND $2::integer IS NULL", id.as_str(), None),
        Which::Stripe(id) => ("stripe_refund = $1 AND $2::integer IS NULL", id, None),
        Which::Request(account_key, key) => {
            ("request_key = $1 AND account_key = $2", key, Some(account_key))
        }
    };
    let statement = format!("/* refunds::find */ SELECT {COLUMNS} FROM refunds WHERE {condition}");
    let statement = sqlx::query(&statement).bind(key).bind(account_key);
    statement.fetch_optional(connection).await?.as_ref().map(read).transpose()
}

/// The refunds of a refill, newest first.
///
/// # Errors
/// If Postgres fails, or holds a value that cannot be read.
pub async fn list(
    connection: &mut PgConnection,
    refill: &RefillId,
) -> Result<Vec<Refund>, LedgerError> {
    let statement = format!(
        "/* refunds::list */ SELECT {COLUMNS} FROM refunds WHERE refill = $1
         ORDER BY refund_number DESC"
    );
    let rows = sqlx::query(&statement).bind(refill.as_str()).fetch_all(connection).await?;
    rows.iter().map(read).collect()
}

/// What of a refill is refunded or being refunded; failed refunds do not count.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn sum(connection: &mut PgConnection, refill: &RefillId) -> Result<Money, StoreError> {
    let sum = sqlx::query_scalar(
        "/* refunds::sum */ SELECT coalesce(sum(amount_micros), 0)::bigint FROM refunds
         WHERE refill = $1 AND status <> 'failed'",
    );
    Ok(Money::from_micros(sum.bind(refill.as_str()).fetch_one(connection).await?))
}

/// The number of the row that credited a payment; `None`: it was not credited.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn credit_of(
    connection: &mut PgConnection,
    payment_intent: &str,
) -> Result<Option<i64>, StoreError> {
    let sequence = sqlx::query_scalar(
        "/* refunds::credit_of */ SELECT sequence FROM transactions
         WHERE payment_intent_id = $1 AND status = 'completed'
             AND kind IN ('refill_manual', 'refill_auto')",
    );
    Ok(sequence.bind(payment_intent).fetch_optional(connection).await?)
}

/// True if the bank took the money of a refill back, and did not return it.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn is_charged_back(
    connection: &mut PgConnection,
    refill: &RefillId,
) -> Result<bool, StoreError> {
    let is_charged_back = sqlx::query_scalar(
        "/* refunds::is_charged_back */ SELECT EXISTS (SELECT FROM disputes
             WHERE refill = $1 AND withdrawn_sequence IS NOT NULL AND reinstated_sequence IS NULL)",
    );
    Ok(is_charged_back.bind(refill.as_str()).fetch_one(connection).await?)
}

/// Raises or lowers what is reserved in a locked wallet, and its version.
///
/// # Errors
/// If Postgres is unavailable, or less than nothing would be reserved.
pub async fn reserve(
    connection: &mut PgConnection,
    head: &mut WalletHead,
    by: Money,
) -> Result<(), LedgerError> {
    sqlx::query(
        "/* refunds::reserve */ UPDATE wallets SET reserved_micros = reserved_micros + $2
         WHERE account_key = $1",
    )
    .bind(head.account_key)
    .bind(by.micros())
    .execute(&mut *connection)
    .await?;
    wallets::raise_version(connection, head).await
}

/// Notes that the money is set aside and no call can take it.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn note_checked(store: &Store, id: &RefundId) -> Result<(), StoreError> {
    let statement =
        "/* refunds::note_checked */ UPDATE refunds SET is_checked = true WHERE refund = $1";
    store.execute("refunds::note_checked", || sqlx::query(statement).bind(id.as_str())).await?;
    Ok(())
}

/// Notes that the next request to Stripe has another key.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn next_attempt(store: &Store, id: &RefundId) -> Result<(), StoreError> {
    let statement = "/* refunds::next_attempt */ UPDATE refunds SET attempt = attempt + 1
         WHERE refund = $1 AND stripe_refund IS NULL";
    store.execute("refunds::next_attempt", || sqlx::query(statement).bind(id.as_str())).await?;
    Ok(())
}

/// Removes a refund that was never asked of Stripe.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn remove(connection: &mut PgConnection, id: &RefundId) -> Result<bool, StoreError> {
    let removed = sqlx::query(
        "/* refunds::remove */ DELETE FROM refunds
         WHERE refund = $1 AND NOT is_checked AND stripe_refund IS NULL AND finished_at IS NULL",
    );
    Ok(removed.bind(id.as_str()).execute(connection).await?.rows_affected() == 1)
}

/// How a refund stands.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the columns are documented in the schema")]
pub struct Standing<'a> {
    pub status: RefundStatus,
    pub stripe_refund: Option<&'a str>,
    pub debit_sequence: Option<i64>,
    pub reversal_sequence: Option<i64>,
}

/// Stores how a refund stands, under the wallet's lock.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn note(
    connection: &mut PgConnection,
    id: &RefundId,
    standing: &Standing<'_>,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let finished_at = (standing.status != RefundStatus::Pending).then_some(now);
    sqlx::query(
        "/* refunds::note */ UPDATE refunds SET status = $2,
             stripe_refund = coalesce(stripe_refund, $3),
             debit_sequence = coalesce(debit_sequence, $4),
             reversal_sequence = coalesce(reversal_sequence, $5),
             finished_at = CASE WHEN $6::timestamptz IS NULL THEN NULL
                 ELSE coalesce(finished_at, $6) END
         WHERE refund = $1",
    )
    .bind(id.as_str())
    .bind(standing.status.as_str())
    .bind(standing.stripe_refund)
    .bind(standing.debit_sequence)
    .bind(standing.reversal_sequence)
    .bind(finished_at)
    .execute(connection)
    .await?;
    Ok(())
}

/// Unfinished refunds that nobody works on.
///
/// # Errors
/// If Postgres fails, or holds a value that cannot be read.
pub async fn unattended(
    connection: &mut PgConnection,
    now: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<RefundId>, LedgerError> {
    let ids: Vec<String> = sqlx::query_scalar(
        "/* refunds::unattended */ SELECT refund FROM refunds
         WHERE finished_at IS NULL AND claimed_until <= $1 ORDER BY claimed_until LIMIT $2",
    )
    .bind(now)
    .bind(limit)
    .fetch_all(connection)
    .await?;
    ids.iter().map(|id| read_id(id)).collect()
}

/// Claims an unfinished refund until a time; false: another has it, or it is finished.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn claim(
    store: &Store,
    id: &RefundId,
    now: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let statement = || {
        sqlx::query(
            "/* refunds::claim */ UPDATE refunds SET claimed_until = $3
             WHERE refund = $1 AND finished_at IS NULL AND claimed_until <= $2",
        )
        .bind(id.as_str())
        .bind(now)
        .bind(until)
    };
    Ok(store.execute("refunds::claim", statement).await? == 1)
}

/// Ends a claim: the job looks again at `at`.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn release(store: &Store, id: &RefundId, at: DateTime<Utc>) -> Result<(), StoreError> {
    let statement = "/* refunds::release */ UPDATE refunds SET claimed_until = $2
         WHERE refund = $1 AND finished_at IS NULL";
    let released =
        store.execute("refunds::release", || sqlx::query(statement).bind(id.as_str()).bind(at));
    released.await.map(|_| ())
}

fn read_id(text: &str) -> Result<RefundId, LedgerError> {
    RefundId::parse(text).map_err(|error| LedgerError::unreadable("a refund's id", error))
}

fn read(row: &PgRow) -> Result<Refund, LedgerError> {
    let unreadable = |error| LedgerError::unreadable("a refund", error);
    let status: String = row.try_get("status")?;
    Ok(Refund {
        id: read_id(row.try_get("refund")?)?,
        refill: RefillId::parse(row.try_get("refill")?).map_err(unreadable)?,
        account_key: row.try_get("account_key")?,
        account: AccountId::parse(row.try_get("account")?).map_err(unreadable)?,
        payment_intent: row.try_get("payment_intent")?,
        amount: Money::from_micros(row.try_get("amount_micros")?),
        status: RefundStatus::parse(&status)
            .map_err(|error| LedgerError::unreadable("a refund", error))?,
        is_ours: row.try_get("is_ours")?,
        is_checked: row.try_get("is_checked")?,
        attempt: row.try_get("attempt")?,
        stripe_refund: row.try_get("stripe_refund")?,
        debit_sequence: row.try_get("debit_sequence")?,
        reversal_sequence: row.try_get("reversal_sequence")?,
        request_sha256: row.try_get("request_sha256")?,
        created_at: row.try_get("created_at")?,
        claimed_until: row.try_get("claimed_until")?,
        finished_at: row.try_get("finished_at")?,
    })
}
