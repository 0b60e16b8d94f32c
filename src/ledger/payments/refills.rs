//! Refills: their state, from the request to the outcome.
//!
//! `refill_progress` writes how a refill goes on, and its end.

use callmeter_core::domain::{
    AccountId, IdError, Money, PaymentIntentId, PaymentMethodId, RefillId, RefillStatus,
    RefillTrigger,
};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{PgConnection, Row};

use crate::ledger::error::LedgerError;
use crate::ledger::history::{Page, Stretch, page};
use crate::ledger::store::{Store, StoreError};

const COLUMNS: &str = "refill, refill_number, account_key,
    (SELECT a.id FROM accounts AS a WHERE a.account_key = refills.account_key) AS account,
    trigger, amount_micros, status, pending_sequence, outcome_sequence, has_new_card, payment_method, card,
    saves_card, return_url, receipt_email, attempt, payment_intent, redirect_url, is_canceling,
    decline, declines, request_key, request_sha256, notes_request, created_at, claimed_until, asked_at,
    finished_at, (SELECT coalesce(sum(r.amount_micros), 0)::bigint FROM refunds AS r
        WHERE r.refill = refills.refill AND r.debit_sequence IS NOT NULL
            AND r.reversal_sequence IS NULL) AS refunded_micros";

/// What is shown of a card.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct CardFace {
    /// Brand in Stripe's words, such as `visa`.
    pub brand: String,
    /// The last four digits.
    pub last4: String,
}

/// Why Stripe declined a try, in Stripe's words.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct StoredDecline {
    /// The declined charge: tells tries apart.
    #[serde(default)]
    pub charge: Option<String>,
    /// The error's `code`, such as `card_declined`.
    pub code: Option<String>,
    /// The error's `decline_code`, such as `insufficient_funds`.
    pub decline_code: Option<String>,
    /// When auto-refill tries again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<DateTime<Utc>>,
}

/// A refill.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the columns are documented in the schema")]
#[expect(clippy::struct_excessive_bools, reason = "columns, each true or false by itself")]
pub struct Refill {
    pub id: RefillId,
    pub number: i64,
    pub account_key: i32,
    pub account: AccountId,
    pub trigger: RefillTrigger,
    pub amount: Money,
    pub status: RefillStatus,
    pub pending_sequence: i64,
    pub outcome_sequence: Option<i64>,
    pub has_new_card: bool,
    pub payment_method: Option<PaymentMethodId>,
    pub card: Option<CardFace>,
    pub saves_card: bool,
    pub return_url: Option<String>,
    pub receipt_email: Option<String>,
    pub attempt: i32,
    pub payment_intent: Option<PaymentIntentId>,
    pub redirect_url: Option<String>,
    pub is_canceling: bool,
    pub decline: Option<StoredDecline>,
    pub declines: i32,
    pub request_key: Option<String>,
    pub request_sha256: Option<Vec<u8>>,
    pub notes_request: bool,
    pub created_at: DateTime<Utc>,
    pub claimed_until: DateTime<Utc>,
    pub asked_at: Option<DateTime<Utc>>,
    pub finished_at: Option<DateTime<Utc>>,
    pub refunded: Money,
}

impl Refill {
    /// True if its outcome is written.
    pub fn is_finished(&self) -> bool {
        self.finished_at.is_some()
    }
}

/// A refill to insert.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the columns are documented in the schema")]
pub struct NewRefill {
    pub id: RefillId,
    pub account_key: i32,
    pub trigger: RefillTrigger,
    pub amount: Money,
    pub pending_sequence: i64,
    pub payment_method: Option<(PaymentMethodId, CardFace)>,
    pub saves_card: bool,
    pub return_url: Option<String>,
    pub receipt_email: Option<String>,
    pub request: Option<(String, [u8; 32])>,
    pub created_at: DateTime<Utc>,
    pub claimed_until: DateTime<Utc>,
}

/// Inserts a refill, `pending`.
///
/// # Errors
/// `Conflict` if a request with the same key was stored meanwhile: run the transaction again.
pub async fn insert(connection: &mut PgConnection, new: &NewRefill) -> Result<(), StoreError> {
    sqlx::query(
        "/* refills::insert */
         INSERT INTO refills (refill, account_key, trigger, amount_micros, status,
             pending_sequence, has_new_card, payment_method, card, saves_card, return_url, receipt_email,
             request_key, request_sha256, created_at, claimed_until, notes_request)
         VALUES ($1, $2, $3, $4, 'pending', $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, true)",
    )
    .bind(new.id.as_str())
    .bind(new.account_key)
    .bind(new.trigger.as_str())
    .bind(new.amount.micros())
    .bind(new.pending_sequence)
    .bind(new.payment_method.is_none())
    .bind(new.payment_method.as_ref().map(|(id, _)| id.as_str()))
    .bind(new.payment_method.as_ref().map(|(_, face)| Json(face)))
    .bind(new.saves_card)
    .bind(new.return_url.as_deref())
    .bind(new.receipt_email.as_deref())
    .bind(new.request.as_ref().map(|(key, _)| key.as_str()))
    .bind(new.request.as_ref().map(|(_, sha256)| sha256.as_slice()))
    .bind(new.created_at)
    .bind(new.claimed_until)
    .execute(connection)
    .await?;
    Ok(())
}

/// Which refill to read.
#[derive(Clone, Copy, Debug)]
pub enum Which<'a> {
    /// By its id.
    Id(&'a RefillId),
    /// By its payment intent.
    Intent(&'a PaymentIntentId),
    /// By the Idempotency-Key of its request.
    Request(i32, &'a str),
}

/// Reads a refill.
///
/// # Errors
/// If Postgres fails, or holds a value that cannot be read.
pub async fn find(
    connection: &mut PgConnection,
    which: Which<'_>,
) -> Result<Option<Refill>, LedgerError> {
    let (condition, key, account_key) = match which {
        Which::Id(id) => ("refill = $1 AND $2::integer IS NULL", id.as_str(), None),
        Which::Intent(id) => ("payment_intent = $1 AND $2::integer IS NULL", id.as_str(), None),
        Which::Request(account_key, key) => {
            ("request_key = $1 AND account_key = $2", key, Some(account_key))
        }
    };
    let statement = format!("/* refills::find */ SELECT {COLUMNS} FROM refills WHERE {condition}");
    let statement = sqlx::query(&statement).bind(key).bind(account_key);
    statement.fetch_optional(connection).await?.as_ref().map(read).transpose()
}

/// Lists the refills of an account, newest first.
///
/// # Errors
/// If Postgres fails, or holds a value that cannot be read.
pub async fn list(
    connection: &mut PgConnection,
    account_key: i32,
    status: Option<RefillStatus>,
    trigger: Option<RefillTrigger>,
    stretch: &Stretch,
) -> Result<Page<Refill>, LedgerError> {
    let statement = format!(
        "/* refills::list */ SELECT {COLUMNS} FROM refills
         WHERE account_key = $1 AND ($2::bigint IS NULL OR refill_number < $2)
           AND ($3::timestamptz IS NULL OR created_at >= $3)
           AND ($4::timestamptz IS NULL OR created_at < $4)
           AND ($5::text IS NULL OR status = $5) AND ($6::text IS NULL OR trigger = $6)
         ORDER BY refill_number DESC LIMIT $7"
    );
    let rows = sqlx::query(&statement)
        .bind(account_key)
        .bind(stretch.below)
        .bind(stretch.from)
        .bind(stretch.to)
        .bind(status.map(RefillStatus::as_str))
        .bind(trigger.map(RefillTrigger::as_str))
        .bind(i64::from(stretch.limit) + 1)
        .fetch_all(connection)
        .await?;
    let refills = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    Ok(page(refills, stretch.limit, |refill| refill.number))
}

/// Unfinished refills that nobody works on, the longest unasked first.
///
/// # Errors
/// If Postgres fails, or holds a value that cannot be read.
pub async fn unattended(
    connection: &mut PgConnection,
    now: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<RefillId>, LedgerError> {
    let ids: Vec<String> = sqlx::query_scalar(
        "/* refills::unattended */
         SELECT refill FROM refills WHERE finished_at IS NULL AND claimed_until <= $1
         ORDER BY claimed_until LIMIT $2",
    )
    .bind(now)
    .bind(limit)
    .fetch_all(connection)
    .await?;
    ids.into_iter().map(|id| read_id(&id)).collect()
}

/// Claims an unfinished refill until a time, so that one process at a time asks Stripe about it;
/// false: another has it, or it is finished.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn claim(
    store: &Store,
    id: &RefillId,
    now: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let statement = || {
        sqlx::query(
            "/* refills::claim */ UPDATE refills SET claimed_until = $3, asked_at = $2
             WHERE refill = $1 AND finished_at IS NULL AND claimed_until <= $2",
        )
        .bind(id.as_str())
        .bind(now)
        .bind(until)
    };
    Ok(store.execute("refills::claim", statement).await? == 1)
}

/// Notes that the unfinished refills of an account are to be canceled. One that is paid meanwhile is
/// credited all the same.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn cancel_open(
    connection: &mut PgConnection,
    account_key: i32,
) -> Result<(), StoreError> {
    sqlx::query(
        "/* refills::cancel_open */ UPDATE refills SET is_canceling = true
         WHERE account_key = $1 AND finished_at IS NULL",
    )
    .bind(account_key)
    .execute(connection)
    .await?;
    Ok(())
}

/// Ends a claim.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn release(store: &Store, id: &RefillId, now: DateTime<Utc>) -> Result<(), StoreError> {
    let statement = || {
        sqlx::query(
            "/* refills::release */ UPDATE refills SET claimed_until = least(claimed_until, $2)
             WHERE refill = $1 AND finished_at IS NULL",
        )
        .bind(id.as_str())
        .bind(now)
    };
    store.execute("refills::release", statement).await.map(|_| ())
}

/// True if a payment was credited. Exact only under the wallet's lock.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn is_credited(
    connection: &mut PgConnection,
    intent: &PaymentIntentId,
) -> Result<bool, StoreError> {
    let is_credited = sqlx::query_scalar(
        "/* refills::is_credited */ SELECT EXISTS (
             SELECT FROM transactions WHERE payment_intent_id = $1 AND status = 'completed'
                 AND kind IN ('refill_manual', 'refill_auto'))",
    );
    Ok(is_credited.bind(intent.as_str()).fetch_one(connection).await?)
}

/// Counts the declined tries of an account's refills begun since a time.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn declines_since(
    connection: &mut PgConnection,
    account_key: i32,
    since: DateTime<Utc>,
) -> Result<i64, StoreError> {
    let declines = sqlx::query_scalar(
        "/* refills::declines_since */ SELECT coalesce(sum(declines), 0)::bigint
         FROM refills WHERE account_key = $1 AND created_at >= $2",
    );
    Ok(declines.bind(account_key).bind(since).fetch_one(connection).await?)
}

/// Dollars of an account's refills begun since a time and not failed.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn paid_since(
    connection: &mut PgConnection,
    account_key: i32,
    since: DateTime<Utc>,
) -> Result<Money, StoreError> {
    let paid: i64 = sqlx::query_scalar(
        "/* refills::paid_since */ SELECT coalesce(sum(amount_micros), 0)::bigint
         FROM refills WHERE account_key = $1 AND created_at >= $2 AND status <> 'failed'",
    )
    .bind(account_key)
    .bind(since)
    .fetch_one(connection)
    .await?;
    Ok(Money::from_micros(paid))
}

fn read_id(text: &str) -> Result<RefillId, LedgerError> {
    RefillId::parse(text).map_err(|error| LedgerError::unreadable("a refill's id", error))
}

fn read(row: &PgRow) -> Result<Refill, LedgerError> {
    let unreadable = |what| move |error: IdError| LedgerError::unreadable(what, error);
    let unreadable_name = |error| LedgerError::unreadable("a refill", error);
    let text = |name: &str| row.try_get::<Option<String>, _>(name);
    let (status, trigger): (String, String) = (row.try_get("status")?, row.try_get("trigger")?);
    let card: Option<Json<CardFace>> = row.try_get("card")?;
    let decline: Option<Json<StoredDecline>> = row.try_get("decline")?;
    let method = text("payment_method")?.map(|id| PaymentMethodId::parse(&id)).transpose();
    let intent = text("payment_intent")?.map(|id| PaymentIntentId::parse(&id)).transpose();
    Ok(Refill {
        id: read_id(&row.try_get::<String, _>("refill")?)?,
        number: row.try_get("refill_number")?,
        account_key: row.try_get("account_key")?,
        account: AccountId::parse(row.try_get("account")?).map_err(unreadable("an account id"))?,
        trigger: RefillTrigger::parse(&trigger).map_err(unreadable_name)?,
        amount: Money::from_micros(row.try_get("amount_micros")?),
        status: RefillStatus::parse(&status).map_err(unreadable_name)?,
        pending_sequence: row.try_get("pending_sequence")?,
        outcome_sequence: row.try_get("outcome_sequence")?,
        has_new_card: row.try_get("has_new_card")?,
        payment_method: method.map_err(unreadable("a payment method"))?,
        card: card.map(|Json(face)| face),
        saves_card: row.try_get("saves_card")?,
        return_url: text("return_url")?,
        receipt_email: text("receipt_email")?,
        attempt: row.try_get("attempt")?,
        payment_intent: intent.map_err(unreadable("a payment intent"))?,
        redirect_url: text("redirect_url")?,
        is_canceling: row.try_get("is_canceling")?,
        decline: decline.map(|Json(decline)| decline),
        declines: row.try_get("declines")?,
        request_key: text("request_key")?,
        request_sha256: row.try_get("request_sha256")?,
        notes_request: row.try_get("notes_request")?,
        created_at: row.try_get("created_at")?,
        claimed_until: row.try_get("claimed_until")?,
        asked_at: row.try_get("asked_at")?,
        finished_at: row.try_get("finished_at")?,
        refunded: Money::from_micros(row.try_get("refunded_micros")?),
    })
}
