//! Rents that could not be paid: tried again daily, and given up after a week.

use callmeter_core::domain::ids::PhoneNumberSid;
use callmeter_core::domain::money::Money;
use callmeter_core::domain::transaction::{TransactionKind, TransactionStatus};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use futures::FutureExt;
use sqlx::{PgConnection, Row};

use super::error::LedgerError;
use super::store::Store;
use super::wallets::{self, Entry};

/// When a rent is tried again, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct RetryPolicy {
    /// Seconds between two attempts (a day).
    pub interval_seconds: u32,
    /// Seconds from the first attempt after which no further one is made (7 days).
    pub give_up_seconds: u32,
}

/// What an attempt came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// Paid this much.
    Paid(Money),
    /// Still too little money.
    Failed,
    /// Too little money, and the time is over: the number is to be suspended.
    GivenUp,
}

/// The text of a rent's transaction.
pub fn description(phone_number: Option<&str>, sid: &PhoneNumberSid, start: NaiveDate) -> String {
    format!("Monthly fee of {} from {start}", phone_number.unwrap_or(sid.as_str()))
}

struct Due {
    account_key: i32,
    sid: PhoneNumberSid,
    period_start: NaiveDate,
    phone_number: Option<String>,
    price: Money,
    first_attempt_at: DateTime<Utc>,
    next_attempt_at: DateTime<Utc>,
    first_sequence: Option<i64>,
}

/// Tries the next rent that is due again, in a transaction of its own; `None`: none is due.
///
/// # Errors
/// Nothing changed; transient ones may be tried again.
pub async fn retry_next(
    store: &Store,
    policy: RetryPolicy,
    now: DateTime<Utc>,
) -> Result<Option<Attempt>, LedgerError> {
    store.transact("retry_rental", move |connection| attempt(connection, policy, now).boxed()).await
}

async fn attempt(
    connection: &mut PgConnection,
    policy: RetryPolicy,
    now: DateTime<Utc>,
) -> Result<Option<Attempt>, LedgerError> {
    let Some(due) = take_due(connection, now).await? else { return Ok(None) };
    let mut head = wallets::lock(connection, due.account_key)
        .await?
        .ok_or_else(|| LedgerError::unreadable("a rental period", "its account has no wallet"))?;
    let funds = head.balance.checked_add(head.credit_limit);
    let is_paid = funds.is_some_and(|funds| funds >= due.price);
    let entry = Entry {
        kind: TransactionKind::NumberRental,
        status: if is_paid { TransactionStatus::Completed } else { TransactionStatus::Failed },
        amount: due.price,
        description: Some(description(due.phone_number.as_deref(), &due.sid, due.period_start)),
        refers_to: due.first_sequence,
        payment_intent_id: None,
        call_sid: None,
    };
    let sequence = wallets::post(connection, &mut head, &entry, now).await?;
    let interval = TimeDelta::seconds(policy.interval_seconds.into());
    let mut next_at = due.next_attempt_at + interval;
    if next_at <= now {
        // After an outage one attempt makes up for those missed.
        next_at = now + interval;
    }
    let last_at = due.first_attempt_at + TimeDelta::seconds(policy.give_up_seconds.into());
    let attempt = match is_paid {
        true => Attempt::Paid(due.price),
        false if next_at > last_at => Attempt::GivenUp,
        false => Attempt::Failed,
    };
    let (status, next_at, paid_sequence) = match attempt {
        Attempt::Paid(_) => ("paid", None, Some(sequence)),
        Attempt::Failed => ("failed", Some(next_at), None),
        Attempt::GivenUp => ("given_up", None, None),
    };
    sqlx::query(
        "/* rentals::attempt */
         UPDATE rental_periods
            SET status = $3, attempts = attempts + 1, next_attempt_at = $4, paid_sequence = $5
          WHERE phone_number_sid = $1 AND period_start = $2",
    )
    .bind(due.sid.as_str())
    .bind(due.period_start)
    .bind(status)
    .bind(next_at)
    .bind(paid_sequence)
    .execute(connection)
    .await
    .map_err(super::store::StoreError::from)?;
    Ok(Some(attempt))
}

async fn take_due(
    connection: &mut PgConnection,
    now: DateTime<Utc>,
) -> Result<Option<Due>, super::store::StoreError> {
    let row = sqlx::query(
        "/* rentals::take_due */
         SELECT account_key, phone_number_sid, period_start, phone_number, price_micros,
                first_attempt_at, next_attempt_at, first_sequence
           FROM rental_periods WHERE next_attempt_at <= $1
          ORDER BY next_attempt_at LIMIT 1 FOR UPDATE SKIP LOCKED",
    )
    .bind(now)
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let sid: String = row.try_get(1)?;
    Ok(Some(Due {
        account_key: row.try_get(0)?,
        sid: PhoneNumberSid::parse(&sid).map_err(|error| sqlx::Error::Decode(Box::new(error)))?,
        period_start: row.try_get(2)?,
        phone_number: row.try_get(3)?,
        price: Money::from_micros(row.try_get(4)?),
        first_attempt_at: row.try_get(5)?,
        next_attempt_at: row.try_get(6)?,
        first_sequence: row.try_get(7)?,
    }))
}
