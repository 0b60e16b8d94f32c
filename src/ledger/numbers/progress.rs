//! How a number goes on: from the request to the purchase, and to its release.

use callmeter_core::domain::{NumberId, NumberStatus, PhoneNumberSid};
use chrono::{DateTime, NaiveDate, Utc};
use serde_json::json;
use sqlx::PgConnection;

use super::Number;
use crate::ledger::audit::{self, Action, AuditEntry, By};
use crate::ledger::error::LedgerError;
use crate::ledger::store::{Store, StoreError};

/// Notes that the price is set aside and no call can take it.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn note_checked(store: &Store, id: &NumberId) -> Result<(), StoreError> {
    let statement =
        "/* numbers::note_checked */ UPDATE numbers SET is_checked = true WHERE number = $1";
    store.execute("numbers::note_checked", || sqlx::query(statement).bind(id.as_str())).await?;
    Ok(())
}

/// Removes a number whose price was never taken.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn remove(connection: &mut PgConnection, id: &NumberId) -> Result<bool, StoreError> {
    let removed = sqlx::query(
        "/* numbers::remove */ DELETE FROM numbers
         WHERE number = $1 AND status = 'pending' AND NOT is_checked AND debited_at IS NULL",
    );
    Ok(removed.bind(id.as_str()).execute(connection).await?.rows_affected() == 1)
}

/// Notes that the price was taken; `sequence` is its row, if it costs something.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn note_debit(
    connection: &mut PgConnection,
    id: &NumberId,
    sequence: Option<i64>,
    at: DateTime<Utc>,
) -> Result<(), StoreError> {
    let statement = "/* numbers::note_debit */ UPDATE numbers
         SET debited_at = $3, debit_sequence = $2, is_checked = true
         WHERE number = $1 AND debited_at IS NULL";
    sqlx::query(statement).bind(id.as_str()).bind(sequence).bind(at).execute(connection).await?;
    Ok(())
}

/// Notes a request to buy it, before it is sent.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn note_asked(
    store: &Store,
    id: &NumberId,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let statement = || {
        sqlx::query(
            "/* numbers::note_asked */ UPDATE numbers
             SET attempts = attempts + 1, asked_at = $2, refused_code = NULL,
                 unanswered_at = CASE WHEN asked_at IS NOT NULL AND refused_code IS NULL
                     THEN asked_at ELSE unanswered_at END
             WHERE number = $1 AND status = 'pending'",
        )
        .bind(id.as_str())
        .bind(now)
    };
    store.execute("numbers::note_asked", statement).await.map(|_| ())
}

/// Notes that Twilio refused the last request.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn note_refused(store: &Store, id: &NumberId, code: i64) -> Result<(), StoreError> {
    let statement = "/* numbers::note_refused */ UPDATE numbers SET refused_code = $2
         WHERE number = $1 AND status = 'pending'";
    let noted = store
        .execute("numbers::note_refused", || sqlx::query(statement).bind(id.as_str()).bind(code));
    noted.await.map(|_| ())
}

/// A number that Twilio has sold.
#[derive(Clone, Debug)]
pub struct Bought {
    /// `PN…`.
    pub sid: PhoneNumberSid,
    /// The day of the purchase, which pays its first period.
    pub first_period: NaiveDate,
    /// When the next one begins.
    pub next_due_at: DateTime<Utc>,
    /// When.
    pub at: DateTime<Utc>,
}

/// Notes that a pending number is bought, and that its first period is paid; false: it was noted
/// before.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn confirm(
    connection: &mut PgConnection,
    id: &NumberId,
    bought: &Bought,
) -> Result<bool, StoreError> {
    let confirmed = sqlx::query(
        "/* numbers::confirm */ UPDATE numbers SET status = 'active', phone_number_sid = $2,
             first_period = $3, next_period = 1, next_due_at = $4, bought_at = $5
         WHERE number = $1 AND status = 'pending'",
    )
    .bind(id.as_str())
    .bind(bought.sid.as_str())
    .bind(bought.first_period)
    .bind(bought.next_due_at)
    .bind(bought.at)
    .execute(&mut *connection)
    .await?;
    if confirmed.rows_affected() == 0 {
        return Ok(false);
    }
    // Whoever sends its first period as due finds it paid.
    sqlx::query(
        "/* numbers::confirm, first period */
         INSERT INTO rental_periods (account_key, phone_number_sid, period_start, phone_number,
             country, number_type, price_micros, status, attempts, first_attempt_at)
         SELECT account_key, phone_number_sid, first_period, phone_number, country, number_type, 0,
             'paid', 1, bought_at
         FROM numbers WHERE number = $1 ON CONFLICT DO NOTHING",
    )
    .bind(id.as_str())
    .execute(connection)
    .await?;
    Ok(true)
}

/// Ends a purchase that failed; false: it had ended before.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn fail(
    connection: &mut PgConnection,
    id: &NumberId,
    reason: &str,
    refund_sequence: Option<i64>,
    at: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let failed = sqlx::query(
        "/* numbers::fail */ UPDATE numbers
         SET status = 'failed', reason = $2, refund_sequence = $3, finished_at = $4
         WHERE number = $1 AND status = 'pending'",
    )
    .bind(id.as_str())
    .bind(reason)
    .bind(refund_sequence)
    .bind(at);
    Ok(failed.execute(connection).await?.rows_affected() == 1)
}

/// Asks for the release of a number that is bought; no more periods are published. It stands in the
/// audit. False: it is not bought, or its release was asked for before.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn ask_release(
    connection: &mut PgConnection,
    number: &Number,
    reason: Option<&str>,
    by: &By,
) -> Result<bool, StoreError> {
    let asked = sqlx::query(
        "/* numbers::ask_release */ UPDATE numbers
         SET status = 'releasing', next_due_at = NULL, reason = coalesce($2, reason),
             release_asked_at = coalesce(release_asked_at, $3), claimed_until = $3
         WHERE number = $1 AND status IN ('active', 'suspended')",
    )
    .bind(number.id.as_str())
    .bind(reason)
    .bind(by.at);
    if asked.execute(&mut *connection).await?.rows_affected() == 0 {
        return Ok(false);
    }
    let entry = AuditEntry {
        action: Action::NumberReleaseRequested,
        account_key: Some(number.account_key),
        subject: number.id.to_string(),
        before: json!({ "status": number.status }),
        after: json!({ "status": NumberStatus::Releasing, "reason": reason }),
    };
    audit::note(connection, by, &entry).await?;
    Ok(true)
}

/// Ends a release; false: it had ended before.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn finish(
    connection: &mut PgConnection,
    id: &NumberId,
    at: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let finished = sqlx::query(
        "/* numbers::finish */ UPDATE numbers SET status = 'released', finished_at = $2
         WHERE number = $1 AND status = 'releasing'",
    );
    let finished = finished.bind(id.as_str()).bind(at).execute(connection).await?;
    Ok(finished.rows_affected() == 1)
}

/// Numbers in a state that nobody works on, the longest unattended first.
///
/// # Errors
/// If Postgres fails, or holds a value that cannot be read.
pub async fn unattended(
    connection: &mut PgConnection,
    statuses: &[&str],
    now: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<NumberId>, LedgerError> {
    let ids: Vec<String> = sqlx::query_scalar(
        "/* numbers::unattended */ SELECT number FROM numbers
         WHERE status IN ('pending', 'releasing', 'suspended') AND status = ANY($1)
             AND claimed_until <= $2
         ORDER BY claimed_until LIMIT $3",
    )
    .bind(statuses)
    .bind(now)
    .bind(limit)
    .fetch_all(connection)
    .await?;
    let ids = ids.iter().map(|id| NumberId::parse(id));
    ids.collect::<Result<_, _>>().map_err(|error| LedgerError::unreadable("a number", error))
}

/// True if a number waits for a step, or for its next period to be published; suspended ones count
/// if `suspended_wait`. On the connection for what is read often.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn have_work(
    store: &Store,
    suspended_wait: bool,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let mut connection = store.regular().take().await?;
    let have_work = sqlx::query_scalar(
        "/* numbers::have_work */ SELECT EXISTS (SELECT FROM numbers
             WHERE status IN ('pending', 'releasing', 'suspended') AND claimed_until <= $1
                 AND ($2 OR status <> 'suspended'))
         OR EXISTS (SELECT FROM numbers WHERE next_due_at <= $1)",
    );
    let have_work = have_work.bind(now).bind(suspended_wait).fetch_one(&mut connection).await?;
    store.regular().put_back(connection);
    Ok(have_work)
}

/// Claims a number that waits for a step; false: another process has it, or it has ended.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn claim(
    store: &Store,
    id: &NumberId,
    now: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let statement = || {
        sqlx::query(
            "/* numbers::claim */ UPDATE numbers SET claimed_until = $3
             WHERE number = $1 AND status IN ('pending', 'releasing') AND claimed_until <= $2",
        )
        .bind(id.as_str())
        .bind(now)
        .bind(until)
    };
    Ok(store.execute("numbers::claim", statement).await? == 1)
}

/// Ends a claim: the loop looks again at `at`.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn release_claim(
    store: &Store,
    id: &NumberId,
    at: DateTime<Utc>,
) -> Result<(), StoreError> {
    let statement = "/* numbers::release_claim */ UPDATE numbers SET claimed_until = $2
         WHERE number = $1 AND status IN ('pending', 'releasing')";
    let released = store
        .execute("numbers::release_claim", || sqlx::query(statement).bind(id.as_str()).bind(at));
    released.await.map(|_| ())
}
