//! Unpaid rents: retried daily, given up after a week.

use callmeter_core::domain::EventType;
use callmeter_core::domain::money::Money;
use callmeter_core::domain::transaction::{TransactionKind, TransactionStatus};
use callmeter_core::policy::is_rent_told;
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use futures::FutureExt;
use serde_json::json;
use sqlx::{Connection, PgConnection, Row};

use super::error::LedgerError;
use super::numbers::periods;
use super::outbox::{self, Fact};
use super::store::{AsStoreError, Store, StoreError};
use super::wallets::{self, Entry};

/// When and for how long an unpaid rent is retried.
#[derive(Clone, Copy, Debug)]
pub struct RetryPolicy {
    /// Seconds between two attempts (a day).
    pub interval_seconds: u32,
    /// Seconds after the first attempt until the rent is given up (7 days).
    pub give_up_seconds: u32,
}

/// The result of an attempt.
#[derive(Debug)]
pub enum Attempt {
    /// Paid this amount; zero if the period costs nothing.
    Paid(Money),
    /// Still not enough money.
    Failed,
    /// Not enough money, and the time is over: the number is to be suspended.
    GivenUp,
    /// A refill was not enough: nothing was written, and the next attempt comes on its day.
    NotYet,
    /// The attempt itself failed and is postponed; an operator has to look at it.
    Refused {
        /// The number.
        phone_number_sid: String,
        /// The period's first day.
        period_start: NaiveDate,
        /// Why.
        error: LedgerError,
    },
}

/// The description of a rent's transaction.
pub fn description(phone_number: Option<&str>, sid: &str, start: NaiveDate) -> String {
    format!("Monthly fee of {} from {start}", phone_number.unwrap_or(sid))
}

/// A rent that could not be paid, as the customer is told.
#[derive(Clone, Copy, Debug)]
pub(super) struct FailedRent<'a> {
    /// The account.
    pub account_key: i32,
    /// Twilio's id of the number.
    pub sid: &'a str,
    /// The number, if it is known.
    pub phone_number: Option<&'a str>,
    /// The period's first day.
    pub period_start: NaiveDate,
    /// Its price.
    pub price: Money,
    /// The row of the attempt.
    pub sequence: Option<i64>,
    /// The next attempt; `None`: this was the last.
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// When.
    pub at: DateTime<Utc>,
}

impl FailedRent<'_> {
    /// The fact for the outbox.
    pub(super) fn fact(self) -> Fact {
        let data = json!({
            "sid": self.sid, "phone_number": self.phone_number, "period_start": self.period_start,
            "amount": self.price, "next_attempt_at": self.next_attempt_at,
            "is_last": self.next_attempt_at.is_none(),
        });
        Fact {
            account_key: self.account_key,
            kind: EventType::NumberRentFailed,
            at: self.at,
            sequence: self.sequence,
            data: Some(data),
        }
    }
}

struct Due {
    account_key: i32,
    sid: String,
    period_start: NaiveDate,
    phone_number: Option<String>,
    price: Money,
    first_attempt_at: DateTime<Utc>,
    next_attempt_at: DateTime<Utc>,
    last_attempt_at: DateTime<Utc>,
    first_sequence: Option<i64>,
}

/// A period that is not paid, and is tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unpaid {
    /// The number's id at Twilio.
    pub sid: String,
    /// Attempts so far.
    pub attempts: i32,
    /// The first of them.
    pub first_attempt_at: DateTime<Utc>,
    /// When the next one is due.
    pub next_attempt_at: DateTime<Utc>,
}

/// Lists the periods of an account that are tried again.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn unpaid(
    connection: &mut PgConnection,
    account_key: i32,
) -> Result<Vec<Unpaid>, StoreError> {
    let rows = sqlx::query_as::<_, (String, i32, DateTime<Utc>, DateTime<Utc>)>(
        "/* rentals::unpaid */
         SELECT phone_number_sid, attempts, first_attempt_at, next_attempt_at FROM rental_periods
         WHERE next_attempt_at IS NOT NULL AND account_key = $1 ORDER BY period_start",
    );
    let rows = rows.bind(account_key).fetch_all(connection).await?;
    let unpaid = rows.into_iter().map(|(sid, attempts, first_attempt_at, next_attempt_at)| {
        Unpaid { sid, attempts, first_attempt_at, next_attempt_at }
    });
    Ok(unpaid.collect())
}

/// Retries the next due rent, in its own transaction; `None`: none is due.
///
/// # Errors
/// Nothing changed; transient errors may be retried.
pub async fn retry_next(
    store: &Store,
    policy: RetryPolicy,
    now: DateTime<Utc>,
) -> Result<Option<Attempt>, LedgerError> {
    store.transact("retry_rental", move |connection| retry(connection, policy, now).boxed()).await
}

/// A failed attempt is undone and postponed, so that it does not block those behind it.
async fn retry(
    connection: &mut PgConnection,
    policy: RetryPolicy,
    now: DateTime<Utc>,
) -> Result<Option<Attempt>, LedgerError> {
    let Some(due) = take_due(connection, now).await? else { return Ok(None) };
    let mut undoable = connection.begin().await?;
    let error = match attempt(&mut undoable, &due, policy, now).await {
        Ok(attempt) => {
            undoable.commit().await?;
            return Ok(Some(attempt));
        }
        Err(error) if is_of_the_row(&error) => error,
        Err(error) => return Err(error),
    };
    undoable.rollback().await?;
    put_off(connection, &due, &error, policy, now).await?;
    let Due { sid: phone_number_sid, period_start, .. } = due;
    Ok(Some(Attempt::Refused { phone_number_sid, period_start, error }))
}

/// True if the error concerns this row only, so that another row may succeed. Other refusals, or an
/// unavailable Postgres, would affect every row.
fn is_of_the_row(error: &LedgerError) -> bool {
    error.as_store_error().is_none_or(StoreError::is_of_the_values)
}

async fn put_off(
    connection: &mut PgConnection,
    due: &Due,
    error: &LedgerError,
    policy: RetryPolicy,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    sqlx::query(
        "/* rentals::put_off */
         UPDATE rental_periods SET next_attempt_at = $3, look_at = NULL, last_error = $4
          WHERE phone_number_sid = $1 AND period_start = $2",
    )
    .bind(&due.sid)
    .bind(due.period_start)
    .bind(now + TimeDelta::seconds(policy.interval_seconds.into()))
    .bind(told(error))
    .execute(connection)
    .await?;
    Ok(())
}

/// An error with its causes, in one line.
fn told(error: &LedgerError) -> String {
    let first: &dyn std::error::Error = error;
    let causes = std::iter::successors(Some(first), |error| error.source());
    causes.map(std::string::ToString::to_string).collect::<Vec<_>>().join(": ")
}

async fn attempt(
    connection: &mut PgConnection,
    due: &Due,
    policy: RetryPolicy,
    now: DateTime<Utc>,
) -> Result<Attempt, LedgerError> {
    let mut head = wallets::lock(connection, due.account_key)
        .await?
        .ok_or_else(|| LedgerError::unreadable("a rental period", "its account has no wallet"))?;
    let is_paid = head.affords(due.price);
    if !is_paid && due.next_attempt_at > now {
        look_no_more(connection, due).await?;
        return Ok(Attempt::NotYet);
    }
    let entry = Entry {
        kind: TransactionKind::NumberRental,
        status: if is_paid { TransactionStatus::Completed } else { TransactionStatus::Failed },
        amount: due.price,
        description: Some(description(due.phone_number.as_deref(), &due.sid, due.period_start)),
        refers_to: due.first_sequence,
        payment_intent_id: None,
        call_sid: None,
    };
    // A rent of zero writes no transaction; older programs could not pay it below a balance of
    // zero.
    let sequence = if due.price.is_zero() {
        None
    } else {
        Some(wallets::post(connection, &mut head, &entry, now).await?)
    };
    let interval = TimeDelta::seconds(policy.interval_seconds.into());
    let mut next_at = due.next_attempt_at + interval;
    if next_at <= now {
        // After an outage one attempt replaces the missed ones.
        next_at = now + interval;
    }
    let last_at = due.first_attempt_at + TimeDelta::seconds(policy.give_up_seconds.into());
    let attempt = match is_paid {
        true => Attempt::Paid(due.price),
        false if next_at > last_at => Attempt::GivenUp,
        false => Attempt::Failed,
    };
    let (status, next_at, paid_sequence) = match attempt {
        Attempt::Paid(_) => ("paid", None, sequence),
        Attempt::GivenUp => ("given_up", None, None),
        Attempt::Failed | Attempt::NotYet | Attempt::Refused { .. } => {
            ("failed", Some(next_at), None)
        }
    };
    sqlx::query(
        "/* rentals::attempt */
         UPDATE rental_periods
            SET status = $3, attempts = attempts + 1, next_attempt_at = $4, paid_sequence = $5,
                last_error = NULL, look_at = NULL, last_attempt_at = $6
          WHERE phone_number_sid = $1 AND period_start = $2",
    )
    .bind(&due.sid)
    .bind(due.period_start)
    .bind(status)
    .bind(next_at)
    .bind(paid_sequence)
    .bind(now)
    .execute(&mut *connection)
    .await?;
    if !is_paid {
        let last_at = Some(due.last_attempt_at);
        let is_last = next_at.is_none();
        if is_rent_told(due.first_attempt_at, last_at, now, interval, is_last) {
            let failed = due.failed(sequence, next_at, now);
            outbox::add(connection, &[failed.fact()]).await?;
        }
        if is_last {
            periods::suspend(connection, &due.sid, now).await?;
        }
    }
    Ok(attempt)
}

/// The refill was not enough: the next attempt comes on its day.
async fn look_no_more(connection: &mut PgConnection, due: &Due) -> Result<(), StoreError> {
    sqlx::query(
        "/* rentals::look_no_more */ UPDATE rental_periods SET look_at = NULL
          WHERE phone_number_sid = $1 AND period_start = $2",
    )
    .bind(&due.sid)
    .bind(due.period_start)
    .execute(connection)
    .await?;
    Ok(())
}

impl Due {
    fn failed(
        &self,
        sequence: Option<i64>,
        next_attempt_at: Option<DateTime<Utc>>,
        at: DateTime<Utc>,
    ) -> FailedRent<'_> {
        FailedRent {
            account_key: self.account_key,
            sid: &self.sid,
            phone_number: self.phone_number.as_deref(),
            period_start: self.period_start,
            price: self.price,
            sequence,
            next_attempt_at,
            at,
        }
    }
}

async fn take_due(
    connection: &mut PgConnection,
    now: DateTime<Utc>,
) -> Result<Option<Due>, StoreError> {
    let row = sqlx::query(
        "/* rentals::take_due */
         SELECT account_key, phone_number_sid, period_start, phone_number, price_micros,
                first_attempt_at, next_attempt_at, first_sequence,
                coalesce(last_attempt_at, first_attempt_at)
           FROM rental_periods
          WHERE next_attempt_at IS NOT NULL AND least(next_attempt_at, look_at) <= $1
          ORDER BY least(next_attempt_at, look_at), period_start
          LIMIT 1 FOR UPDATE SKIP LOCKED",
    )
    .bind(now)
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Due {
        account_key: row.try_get(0)?,
        sid: row.try_get(1)?,
        period_start: row.try_get(2)?,
        phone_number: row.try_get(3)?,
        price: Money::from_micros(row.try_get(4)?),
        first_attempt_at: row.try_get(5)?,
        next_attempt_at: row.try_get(6)?,
        first_sequence: row.try_get(7)?,
        last_attempt_at: row.try_get(8)?,
    }))
}
