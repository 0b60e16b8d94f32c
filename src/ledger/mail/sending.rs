//! Mails as the process that sends them sees them: made of events, claimed, noted.

use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use futures::FutureExt;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use crate::ledger::LedgerError;
use crate::ledger::outbox::{self, StoredEvent, read_event};
use crate::ledger::store::{Store, StoreError};

/// The consumer of the outbox that makes mails.
pub const CONSUMER: &str = "mail";
/// Events of one page.
const PAGE: i64 = 500;

/// Turns the next page of events into mails, those of accounts with an address and of types that
/// are mailed, and moves the cursor. Returns how many were made; `None`: there was no event.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn fan_out(
    store: &Store,
    types: &'static [&'static str],
    now: DateTime<Utc>,
) -> Result<Option<u64>, StoreError> {
    let made = store.transact("mail::fan_out", move |connection| {
        async move {
            let page = outbox::take_page(connection, CONSUMER, PAGE, now).await?;
            let Some(page) = page else { return Ok::<_, StoreError>(None) };
            let made = sqlx::query(
                "/* mail::fan_out */ INSERT INTO mails (event_number, created_at, due_at)
                 SELECT p.event_number, $3, $3 FROM outbox AS p JOIN accounts AS a USING (account_key)
                 WHERE p.position > $1 AND p.position <= $2
                   AND p.type = ANY ($4) AND a.email IS NOT NULL
                 ORDER BY p.position
                 ON CONFLICT ON CONSTRAINT mails_are_one_for_an_event DO NOTHING",
            )
            .bind(page.above)
            .bind(page.last)
            .bind(now)
            .bind(types)
            .execute(connection)
            .await?;
            Ok(Some(made.rows_affected()))
        }
        .boxed()
    });
    made.await
}

/// A claimed mail.
#[derive(Clone, Debug)]
pub struct DueMail {
    /// Its number.
    pub number: i64,
    /// Attempts so far.
    pub attempts: i32,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// The account's name.
    pub name: String,
    /// Its address; `None`: it has none any more.
    pub address: Option<String>,
    /// The kinds that the address does not want.
    pub unsubscribed: Vec<String>,
    /// What is told.
    pub event: StoredEvent,
}

/// Ends all claims: for the process that begins to send, because the one before is gone.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn release(store: &Store) -> Result<(), StoreError> {
    let statement = || {
        sqlx::query(
            "/* mail::release */ UPDATE mails SET claimed_until = NULL
             WHERE due_at IS NOT NULL AND claimed_until IS NOT NULL",
        )
    };
    store.execute("mail::release", statement).await.map(|_| ())
}

/// True if a mail is due that nobody has claimed.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn is_any_due(store: &Store, now: DateTime<Utc>) -> Result<bool, StoreError> {
    let mut connection = store.regular().take().await?;
    let is_due = sqlx::query_scalar(
        "/* mail::is_any_due */ SELECT EXISTS (SELECT FROM mails
         WHERE due_at <= $1 AND (claimed_until IS NULL OR claimed_until <= $1))",
    )
    .bind(now)
    .fetch_one(&mut connection)
    .await?;
    store.regular().put_back(connection);
    Ok(is_due)
}

/// Claims mails that are due, at most `most`.
///
/// # Errors
/// If Postgres is unavailable, or holds a value that cannot be read.
pub async fn claim(
    store: &Store,
    most: i64,
    now: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Result<Vec<DueMail>, LedgerError> {
    let claimed = store.transact("mail::claim", move |connection| {
        async move {
            let rows = sqlx::query(&CLAIM).bind(now).bind(until).bind(most).fetch_all(connection);
            rows.await?.iter().map(read_due).collect()
        }
        .boxed()
    });
    claimed.await
}

static CLAIM: LazyLock<String> = LazyLock::new(|| {
    format!(
        "/* mail::claim */
    WITH picked AS (
        SELECT mail_number FROM mails
        WHERE due_at <= $1 AND (claimed_until IS NULL OR claimed_until <= $1)
        ORDER BY due_at LIMIT $3 FOR UPDATE SKIP LOCKED),
    claimed AS (
        UPDATE mails SET claimed_until = $2 FROM picked
        WHERE mails.mail_number = picked.mail_number RETURNING mails.*)
    SELECT c.mail_number, c.attempts, c.created_at, a.name, a.email,
        ARRAY (SELECT u.kind FROM mail_unsubscriptions AS u
            WHERE u.account_key = a.account_key
              AND u.address_sha256 = sha256(convert_to(lower(a.email), 'UTF8'))) AS unsubscribed,
        {}
    FROM claimed AS c JOIN outbox AS o USING (event_number)
        JOIN accounts AS a ON a.account_key = o.account_key
        LEFT JOIN transactions AS t
            ON o.data IS NULL AND t.account_key = o.account_key AND t.sequence = o.sequence
    ORDER BY c.mail_number",
        *outbox::COLUMNS
    )
});

fn read_due(row: &PgRow) -> Result<DueMail, LedgerError> {
    Ok(DueMail {
        number: row.try_get("mail_number")?,
        attempts: row.try_get("attempts")?,
        created_at: row.try_get("created_at")?,
        name: row.try_get("name")?,
        address: row.try_get("email")?,
        unsubscribed: row.try_get("unsubscribed")?,
        event: read_event(row)?,
    })
}

/// What became of a mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentMail {
    /// Its number.
    pub number: i64,
    /// When the server answered, or the attempt failed.
    pub at: DateTime<Utc>,
    /// Why it was not sent; `None`: the server took it.
    pub error: Option<String>,
    /// When it is tried again.
    pub due_at: Option<DateTime<Utc>>,
}

/// Notes what became of mails, in one statement.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn note(store: &Store, sent: &[SentMail]) -> Result<(), StoreError> {
    let statement = || {
        sqlx::query(
            "/* mail::note */ UPDATE mails
             SET attempts = attempts + 1, last_attempt_at = done.at, error = done.error,
                 due_at = done.due_at, claimed_until = NULL,
                 sent_at = CASE WHEN done.error IS NULL THEN done.at END
             FROM unnest($1::bigint[], $2::timestamptz[], $3::text[], $4::timestamptz[])
                 AS done (mail_number, at, error, due_at)
             WHERE mails.mail_number = done.mail_number",
        )
        .bind(sent.iter().map(|one| one.number).collect::<Vec<_>>())
        .bind(sent.iter().map(|one| one.at).collect::<Vec<_>>())
        .bind(sent.iter().map(|one| one.error.clone()).collect::<Vec<_>>())
        .bind(sent.iter().map(|one| one.due_at).collect::<Vec<_>>())
    };
    store.execute("mail::note", statement).await.map(|_| ())
}

/// Mails that wait.
#[derive(Clone, Debug, Default, PartialEq, Eq, sqlx::FromRow)]
pub struct Waiting {
    /// How many.
    pub mails: i64,
    /// When the oldest was made.
    pub oldest_at: Option<DateTime<Utc>>,
    /// Why one of them was not sent.
    pub error: Option<String>,
}

/// Counts mails that wait.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn waiting(connection: &mut PgConnection) -> Result<Waiting, StoreError> {
    let waiting = sqlx::query_as(
        "/* mail::waiting */ SELECT count(*) AS mails, min(created_at) AS oldest_at,
             max(error) AS error FROM mails WHERE due_at IS NOT NULL",
    )
    .fetch_one(connection)
    .await?;
    Ok(waiting)
}
