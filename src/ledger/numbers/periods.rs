//! When the next period of each number is due.
//!
//! A period is published, and only then the number moves on to the next: a process that dies in
//! between publishes it again, which the ledger charges once.

use callmeter_core::domain::{
    EventType, NumberId, NumberType, PhoneNumberSid, RentalAnchor, TwilioAccountSid,
};
use chrono::{DateTime, NaiveDate, Utc};
use serde_json::json;
use sqlx::{PgConnection, Row};

use crate::ledger::error::LedgerError;
use crate::ledger::outbox::{self, Fact};
use crate::ledger::store::{Store, StoreError};

/// A period that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the columns are documented in the schema")]
pub struct DuePeriod {
    pub id: NumberId,
    pub twilio_account_sid: TwilioAccountSid,
    pub sid: PhoneNumberSid,
    pub phone_number: String,
    pub country: String,
    pub number_type: NumberType,
    pub anchor: RentalAnchor,
    pub first_period: NaiveDate,
    /// Its count; the first is 0.
    pub period: u32,
    /// Its first day.
    pub starts_on: NaiveDate,
    /// Micro-dollars of a month when the number was bought.
    pub monthly_micros: i64,
}

/// The next period of each number that has one due, the oldest first.
///
/// # Errors
/// If Postgres fails, or holds a value that cannot be read.
pub async fn due(
    connection: &mut PgConnection,
    now: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<DuePeriod>, LedgerError> {
    let rows = sqlx::query(
        "/* periods::due */
         SELECT number, twilio_account_sid, phone_number_sid, phone_number, country, number_type,
             anchor, first_period, next_period, next_due_at, monthly_micros
         FROM numbers WHERE next_due_at <= $1 ORDER BY next_due_at, number_order LIMIT $2",
    )
    .bind(now)
    .bind(limit)
    .fetch_all(connection)
    .await?;
    let unreadable = |error| LedgerError::unreadable("a number", error);
    let unknown = |error| LedgerError::unreadable("a number", error);
    let periods = rows.iter().map(|row| {
        let next_due_at: DateTime<Utc> = row.try_get("next_due_at")?;
        Ok(DuePeriod {
            id: NumberId::parse(row.try_get("number")?).map_err(unreadable)?,
            twilio_account_sid: TwilioAccountSid::parse(row.try_get("twilio_account_sid")?)
                .map_err(unreadable)?,
            sid: PhoneNumberSid::parse(row.try_get("phone_number_sid")?).map_err(unreadable)?,
            phone_number: row.try_get("phone_number")?,
            country: row.try_get("country")?,
            number_type: NumberType::parse(row.try_get("number_type")?).map_err(unknown)?,
            anchor: RentalAnchor::parse(row.try_get("anchor")?).map_err(unknown)?,
            first_period: row.try_get("first_period")?,
            period: u32::try_from(row.try_get::<i32, _>("next_period")?).unwrap_or_default(),
            starts_on: next_due_at.date_naive(),
            monthly_micros: row.try_get("monthly_micros")?,
        })
    });
    periods.collect()
}

/// A number that moves on: its id, the period that was published, and when the next is due.
pub type Moved = (NumberId, u32, DateTime<Utc>);

/// Moves numbers on to their next periods; one that has moved meanwhile is left alone.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn advance(store: &Store, moved: &[Moved]) -> Result<(), StoreError> {
    let ids: Vec<&str> = moved.iter().map(|(id, ..)| id.as_str()).collect();
    let count = |period: &u32| i32::try_from(*period).unwrap_or(i32::MAX - 1);
    let periods: Vec<i32> = moved.iter().map(|(_, period, _)| count(period)).collect();
    let due: Vec<DateTime<Utc>> = moved.iter().map(|(.., due)| *due).collect();
    let statement = || {
        sqlx::query(
            "/* periods::advance */ UPDATE numbers
             SET next_period = moved.period + 1, next_due_at = moved.due_at
             FROM unnest($1::text[], $2::integer[], $3::timestamptz[]) AS moved (id, period, due_at)
             WHERE number = moved.id AND next_period = moved.period AND next_due_at IS NOT NULL",
        )
        .bind(ids.clone())
        .bind(periods.clone())
        .bind(due.clone())
    };
    store.execute("periods::advance", statement).await.map(|_| ())
}

/// Suspends the number of a period that was not paid in time, under the wallet's lock: its other
/// unpaid periods are given up too. A number that we did not sell is left alone.
///
/// # Errors
/// If Postgres is unavailable.
pub(in crate::ledger) async fn suspend(
    connection: &mut PgConnection,
    sid: &str,
    at: DateTime<Utc>,
) -> Result<bool, LedgerError> {
    let row = sqlx::query(
        "/* periods::suspend */ UPDATE numbers SET status = 'suspended', reason = 'rent_unpaid',
             next_due_at = NULL, release_asked_at = $2, claimed_until = $2
         WHERE phone_number_sid = $1 AND status = 'active'
         RETURNING account_key, number, phone_number, country, number_type",
    )
    .bind(sid)
    .bind(at)
    .fetch_optional(&mut *connection)
    .await?;
    let Some(row) = row else { return Ok(false) };
    sqlx::query(
        "/* periods::suspend, other periods */ UPDATE rental_periods
         SET status = 'given_up', next_attempt_at = NULL, look_at = NULL
         WHERE phone_number_sid = $1 AND status = 'failed'",
    )
    .bind(sid)
    .execute(&mut *connection)
    .await?;
    let text = |name: &str| row.try_get::<String, _>(name);
    let data = json!({
        "id": text("number")?, "sid": sid, "phone_number": text("phone_number")?,
        "country": text("country")?, "type": text("number_type")?, "status": "suspended",
        "reason": "rent_unpaid",
    });
    let fact = Fact {
        account_key: row.try_get("account_key")?,
        kind: EventType::NumberSuspended,
        at,
        sequence: None,
        data: Some(data),
    };
    outbox::add(connection, &[fact]).await?;
    Ok(true)
}
