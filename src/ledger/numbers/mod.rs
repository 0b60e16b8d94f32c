//! Numbers bought through us: their rows, from the request to the release.
//!
//! `progress` writes how a number goes on, `periods` when its next period is due. What changes money
//! or state is written under the wallet's lock.

pub mod periods;
pub mod progress;

use callmeter_core::domain::{
    AccountId, Money, NumberId, NumberStatus, NumberType, PhoneNumberSid, RentalAnchor,
    TwilioAccountSid,
};
use chrono::{DateTime, NaiveDate, Utc};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use super::error::LedgerError;
use super::history::{Page, Stretch, page};
use super::store::StoreError;

/// Why a number of a closed account is released.
pub const ACCOUNT_CLOSED: &str = "account_closed";

const COLUMNS: &str = "number, number_order, account_key,
    (SELECT a.id FROM accounts AS a WHERE a.account_key = numbers.account_key) AS account,
    twilio_account_sid, phone_number, country, number_type, price_micros, monthly_micros, address_sid,
    bundle_sid, CASE WHEN status = 'active' AND EXISTS (SELECT FROM rental_periods AS p
        WHERE p.phone_number_sid = numbers.phone_number_sid AND p.status = 'failed')
        THEN 'unpaid' ELSE status END AS status, reason, is_checked, debited_at, debit_sequence,
    refund_sequence, attempts, asked_at, unanswered_at, refused_code, phone_number_sid, anchor,
    first_period, next_due_at, request_sha256, created_at, claimed_until, bought_at, finished_at";

/// A number.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the columns are documented in the schema")]
pub struct Number {
    pub id: NumberId,
    pub order: i64,
    pub account_key: i32,
    pub account: AccountId,
    pub twilio_account_sid: TwilioAccountSid,
    pub phone_number: String,
    pub country: String,
    pub number_type: NumberType,
    pub price: Money,
    pub monthly: Money,
    pub address_sid: Option<String>,
    pub bundle_sid: Option<String>,
    /// `unpaid` is not stored: an active number has a period that is not paid.
    pub status: NumberStatus,
    pub reason: Option<String>,
    pub is_checked: bool,
    pub debited_at: Option<DateTime<Utc>>,
    pub debit_sequence: Option<i64>,
    pub refund_sequence: Option<i64>,
    pub attempts: i32,
    pub asked_at: Option<DateTime<Utc>>,
    pub unanswered_at: Option<DateTime<Utc>>,
    pub refused_code: Option<i64>,
    pub sid: Option<PhoneNumberSid>,
    pub anchor: RentalAnchor,
    pub first_period: Option<NaiveDate>,
    pub next_due_at: Option<DateTime<Utc>>,
    pub request_sha256: Option<Vec<u8>>,
    pub created_at: DateTime<Utc>,
    pub claimed_until: DateTime<Utc>,
    pub bought_at: Option<DateTime<Utc>>,
    pub finished_at: Option<DateTime<Utc>>,
}

/// A number to insert, `pending`.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the columns are documented in the schema")]
pub struct NewNumber<'a> {
    pub id: &'a NumberId,
    pub account_key: i32,
    pub twilio_account_sid: &'a TwilioAccountSid,
    pub phone_number: &'a str,
    pub country: &'a str,
    pub number_type: NumberType,
    pub price: Money,
    pub monthly: Money,
    pub address_sid: Option<&'a str>,
    pub bundle_sid: Option<&'a str>,
    pub anchor: RentalAnchor,
    pub request: Option<(&'a str, [u8; 32])>,
    pub created_at: DateTime<Utc>,
    pub claimed_until: DateTime<Utc>,
}

/// Inserts a number.
///
/// # Errors
/// `Conflict` if the same request or phone number was stored meanwhile: run it again.
pub async fn insert(connection: &mut PgConnection, new: &NewNumber<'_>) -> Result<(), StoreError> {
    sqlx::query(
        "/* numbers::insert */
         INSERT INTO numbers (number, account_key, twilio_account_sid, phone_number, country,
             number_type, price_micros, monthly_micros, address_sid, bundle_sid, status, anchor,
             request_key, request_sha256, created_at, claimed_until)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 'pending', $11, $12, $13, $14, $15)",
    )
    .bind(new.id.as_str())
    .bind(new.account_key)
    .bind(new.twilio_account_sid.as_str())
    .bind(new.phone_number)
    .bind(new.country)
    .bind(new.number_type.as_str())
    .bind(new.price.micros())
    .bind(new.monthly.micros())
    .bind(new.address_sid)
    .bind(new.bundle_sid)
    .bind(new.anchor.as_str())
    .bind(new.request.map(|(key, _)| key))
    .bind(new.request.as_ref().map(|(_, sha256)| sha256.as_slice()))
    .bind(new.created_at)
    .bind(new.claimed_until)
    .execute(connection)
    .await?;
    Ok(())
}

/// Which number to read.
#[derive(Clone, Copy, Debug)]
pub enum Which<'a> {
    /// By its id.
    Id(&'a NumberId),
    /// By Twilio's id.
    Sid(&'a PhoneNumberSid),
    /// By the Idempotency-Key of its request.
    Request(i32, &'a str),
    /// By its phone number, where it is not given back.
    Owned(&'a str),
}

/// Reads a number.
///
/// # Errors
/// If Postgres fails, or holds a value that cannot be read.
pub async fn find(
    connection: &mut PgConnection,
    which: Which<'_>,
) -> Result<Option<Number>, LedgerError> {
    let (condition, key, account_key) = match which {
        Which::Id(id) => ("number = $1 AND $2::integer IS NULL", id.as_str(), None),
        Which::Sid(sid) => ("phone_number_sid = $1 AND $2::integer IS NULL", sid.as_str(), None),
        Which::Owned(number) => (
            "phone_number = $1 AND status NOT IN ('released', 'failed') AND $2::integer IS NULL",
            number,
            None,
        ),
        Which::Request(account_key, key) => {
            ("request_key = $1 AND account_key = $2", key, Some(account_key))
        }
    };
    let statement = format!("/* numbers::find */ SELECT {COLUMNS} FROM numbers WHERE {condition}");
    let statement = sqlx::query(&statement).bind(key).bind(account_key);
    statement.fetch_optional(connection).await?.as_ref().map(read).transpose()
}

/// Reads a number by its id or Twilio's.
///
/// # Errors
/// As [`find`].
pub async fn find_named(
    connection: &mut PgConnection,
    text: &str,
) -> Result<Option<Number>, LedgerError> {
    match (NumberId::parse(text), PhoneNumberSid::parse(text)) {
        (Ok(id), _) => find(connection, Which::Id(&id)).await,
        (_, Ok(sid)) => find(connection, Which::Sid(&sid)).await,
        _ => Ok(None),
    }
}

/// The bought numbers of an account whose release nobody asked for.
///
/// # Errors
/// If Postgres fails, or holds a value that cannot be read.
pub async fn bought(
    connection: &mut PgConnection,
    account_key: i32,
) -> Result<Vec<Number>, LedgerError> {
    let statement = format!(
        "/* numbers::bought */ SELECT {COLUMNS} FROM numbers
         WHERE account_key = $1 AND status IN ('active', 'suspended') ORDER BY number_order"
    );
    let rows = sqlx::query(&statement).bind(account_key).fetch_all(connection).await?;
    rows.iter().map(read).collect()
}

/// Lists the numbers of an account, or of all, newest first.
///
/// # Errors
/// If Postgres fails, or holds a value that cannot be read.
pub async fn list(
    connection: &mut PgConnection,
    account_key: Option<i32>,
    status: Option<NumberStatus>,
    stretch: &Stretch,
) -> Result<Page<Number>, LedgerError> {
    let statement = format!(
        "/* numbers::list */ SELECT * FROM (SELECT {COLUMNS} FROM numbers
         WHERE ($1::integer IS NULL OR account_key = $1)
           AND ($2::bigint IS NULL OR number_order < $2)
           AND ($3::timestamptz IS NULL OR created_at >= $3)
           AND ($4::timestamptz IS NULL OR created_at < $4)) AS listed
         WHERE $5::text IS NULL OR status = $5
         ORDER BY number_order DESC LIMIT $6"
    );
    let rows = sqlx::query(&statement)
        .bind(account_key)
        .bind(stretch.below)
        .bind(stretch.from)
        .bind(stretch.to)
        .bind(status.map(NumberStatus::as_str))
        .bind(i64::from(stretch.limit) + 1)
        .fetch_all(connection)
        .await?;
    let numbers = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    Ok(page(numbers, stretch.limit, |number| number.order))
}

/// Numbers that wait for a step, or for their release, by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, sqlx::FromRow)]
pub struct Open {
    /// Not bought yet.
    pub pending: i64,
    /// The oldest of them.
    pub oldest_pending_at: Option<DateTime<Utc>>,
    /// To be given back.
    pub releasing: i64,
    /// The oldest of them.
    pub oldest_releasing_at: Option<DateTime<Utc>>,
    /// Unpaid for too long.
    pub suspended: i64,
    /// Active ones whose next period should have been published.
    pub overdue: i64,
}

/// Counts what waits; periods count that should have been published before `late`.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn open(connection: &mut PgConnection, late: DateTime<Utc>) -> Result<Open, StoreError> {
    let open = sqlx::query_as(
        "/* numbers::open */
         SELECT count(*) FILTER (WHERE status = 'pending') AS pending,
             min(created_at) FILTER (WHERE status = 'pending') AS oldest_pending_at,
             count(*) FILTER (WHERE status = 'releasing') AS releasing,
             min(release_asked_at) FILTER (WHERE status = 'releasing') AS oldest_releasing_at,
             count(*) FILTER (WHERE status = 'suspended') AS suspended,
             count(*) FILTER (WHERE next_due_at < $1) AS overdue
         FROM numbers WHERE status IN ('pending', 'releasing', 'suspended') OR next_due_at < $1",
    );
    Ok(open.bind(late).fetch_one(connection).await?)
}

/// The Twilio accounts in which numbers were bought, or are to be.
///
/// # Errors
/// If Postgres fails, or holds a value that cannot be read.
pub async fn twilio_accounts(
    connection: &mut PgConnection,
) -> Result<Vec<TwilioAccountSid>, LedgerError> {
    let sids: Vec<String> = sqlx::query_scalar(
        "/* numbers::twilio_accounts */
         SELECT DISTINCT twilio_account_sid FROM numbers ORDER BY twilio_account_sid",
    )
    .fetch_all(connection)
    .await?;
    let sids = sids.iter().map(|sid| TwilioAccountSid::parse(sid));
    sids.collect::<Result<_, _>>().map_err(|error| LedgerError::unreadable("a number", error))
}

/// Twilio's ids of the numbers that the ledger has in a Twilio account, bought before a time.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn bought_in(
    connection: &mut PgConnection,
    sid: &TwilioAccountSid,
    before: DateTime<Utc>,
) -> Result<Vec<String>, StoreError> {
    let sids = sqlx::query_scalar(
        "/* numbers::bought_in */ SELECT phone_number_sid FROM numbers
         WHERE twilio_account_sid = $1 AND bought_at < $2 AND status IN ('active', 'suspended')",
    );
    Ok(sids.bind(sid.as_str()).bind(before).fetch_all(connection).await?)
}

fn read(row: &PgRow) -> Result<Number, LedgerError> {
    let unreadable = |error| LedgerError::unreadable("a number", error);
    let unknown = |error| LedgerError::unreadable("a number", error);
    let sid = row.try_get::<Option<String>, _>("phone_number_sid")?;
    let sid = sid.map(|sid| PhoneNumberSid::parse(&sid)).transpose();
    Ok(Number {
        id: NumberId::parse(row.try_get("number")?).map_err(unreadable)?,
        order: row.try_get("number_order")?,
        account_key: row.try_get("account_key")?,
        account: AccountId::parse(row.try_get("account")?).map_err(unreadable)?,
        twilio_account_sid: TwilioAccountSid::parse(row.try_get("twilio_account_sid")?)
            .map_err(unreadable)?,
        phone_number: row.try_get("phone_number")?,
        country: row.try_get("country")?,
        number_type: NumberType::parse(row.try_get("number_type")?).map_err(unknown)?,
        price: Money::from_micros(row.try_get("price_micros")?),
        monthly: Money::from_micros(row.try_get("monthly_micros")?),
        address_sid: row.try_get("address_sid")?,
        bundle_sid: row.try_get("bundle_sid")?,
        status: NumberStatus::parse(row.try_get("status")?).map_err(unknown)?,
        reason: row.try_get("reason")?,
        is_checked: row.try_get("is_checked")?,
        debited_at: row.try_get("debited_at")?,
        debit_sequence: row.try_get("debit_sequence")?,
        refund_sequence: row.try_get("refund_sequence")?,
        attempts: row.try_get("attempts")?,
        asked_at: row.try_get("asked_at")?,
        unanswered_at: row.try_get("unanswered_at")?,
        refused_code: row.try_get("refused_code")?,
        sid: sid.map_err(unreadable)?,
        anchor: RentalAnchor::parse(row.try_get("anchor")?).map_err(unknown)?,
        first_period: row.try_get("first_period")?,
        next_due_at: row.try_get("next_due_at")?,
        request_sha256: row.try_get("request_sha256")?,
        created_at: row.try_get("created_at")?,
        claimed_until: row.try_get("claimed_until")?,
        bought_at: row.try_get("bought_at")?,
        finished_at: row.try_get("finished_at")?,
    })
}
