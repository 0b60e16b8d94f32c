//! Deliveries as the process that posts them sees them: made of events, claimed, noted.

use std::sync::LazyLock;

use chrono::{DateTime, TimeDelta, Utc};
use futures::FutureExt;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use super::{DeliveryId, EndpointId, OpenedSecrets, WebhookSecrets};
use crate::ledger::LedgerError;
use crate::ledger::outbox::{self, StoredEvent, read_event};
use crate::ledger::store::{Store, StoreError};

/// The consumer of the outbox that makes deliveries.
pub const CONSUMER: &str = "webhooks";
/// Events of one page.
const PAGE: i64 = 500;
/// How long a test is kept; other deliveries are kept as long as their event.
const TESTS_KEPT_FOR: TimeDelta = TimeDelta::days(30);

/// Turns the next page of events into deliveries, one for each endpoint that wants the type, and
/// moves the cursor. Returns how many were made; `None`: there was no event.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn fan_out(store: &Store, now: DateTime<Utc>) -> Result<Option<u64>, StoreError> {
    let made = store.transact("webhooks::fan_out", move |connection| {
        async move {
            let page = outbox::take_page(connection, CONSUMER, PAGE, now).await?;
            let Some(page) = page else { return Ok::<_, StoreError>(None) };
            let made = sqlx::query(
                "/* webhooks::fan_out */
                 INSERT INTO webhook_deliveries
                     (endpoint_number, event_number, event, type, created_at, due_at)
                 SELECT e.endpoint_number, p.event_number, p.event, p.type, $3, $3
                 FROM outbox AS p CROSS JOIN LATERAL (
                     SELECT * FROM webhook_endpoints AS own WHERE own.account_key = p.account_key
                     UNION ALL
                     SELECT * FROM webhook_endpoints AS wide WHERE wide.account_key IS NULL) AS e
                 WHERE p.position > $1 AND p.position <= $2
                   AND e.deleted_at IS NULL AND e.disabled_at IS NULL AND p.at >= e.created_at
                   AND (e.types IS NULL OR p.type = ANY (e.types))
                 ORDER BY p.position
                 ON CONFLICT ON CONSTRAINT webhook_deliveries_are_one_for_an_event DO NOTHING",
            )
            .bind(page.above)
            .bind(page.last)
            .bind(now)
            .execute(connection)
            .await?;
            Ok(Some(made.rows_affected()))
        }
        .boxed()
    });
    made.await
}

/// A claimed delivery.
#[derive(Clone, Debug)]
pub struct Due {
    /// Its id.
    pub id: DeliveryId,
    /// Where it goes.
    pub endpoint: EndpointId,
    /// The endpoint's address.
    pub url: String,
    /// Attempts so far.
    pub attempts: i32,
    /// The secrets that sign it; else why they cannot be opened.
    pub secrets: Result<OpenedSecrets, String>,
    /// What is posted.
    pub posted: Posted,
}

/// What a delivery posts.
#[derive(Clone, Debug)]
pub enum Posted {
    /// An event.
    Event(Box<StoredEvent>),
    /// A test.
    Test {
        /// Its `webhook-id`.
        id: sqlx::types::Uuid,
        /// When it was asked for.
        at: DateTime<Utc>,
        /// Whose endpoint it is; `None`: it gets the events of all accounts.
        account: Option<String>,
    },
}

/// True if a delivery is due that nobody has claimed. Cheap: an idle process asks every second.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn is_any_due(store: &Store, now: DateTime<Utc>) -> Result<bool, StoreError> {
    let mut connection = store.regular().take().await?;
    let is_due = sqlx::query_scalar(
        "/* webhooks::is_any_due */ SELECT EXISTS (SELECT FROM webhook_deliveries
         WHERE due_at <= $1 AND (claimed_until IS NULL OR claimed_until <= $1))",
    )
    .bind(now)
    .fetch_one(&mut connection)
    .await?;
    store.regular().put_back(connection);
    Ok(is_due)
}

/// Ends all claims: for the process that begins to post, because the one before is gone.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn release(store: &Store) -> Result<(), StoreError> {
    let statement = || {
        sqlx::query(
            "/* webhooks::release */ UPDATE webhook_deliveries SET claimed_until = NULL
             WHERE due_at IS NOT NULL AND claimed_until IS NOT NULL",
        )
    };
    store.execute("webhooks::release", statement).await.map(|_| ())
}

/// Claims deliveries that are due: at most `most`, and of each endpoint as many as `each_max` less
/// those in `busy`. Of an endpoint that fails it claims one at a time, the most tried first, so that
/// it is disabled in time however much waits for it.
///
/// # Errors
/// If Postgres is unavailable, or holds a value that cannot be read.
pub async fn claim(
    store: &Store,
    secrets: &WebhookSecrets,
    busy: &[(EndpointId, i32)],
    (most, each_max): (i64, i32),
    now: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Result<Vec<Due>, LedgerError> {
    let (endpoints, counts): (Vec<i32>, Vec<i32>) =
        busy.iter().map(|(endpoint, count)| (endpoint.0, *count)).unzip();
    let secrets = secrets.clone();
    let claimed = store.transact("webhooks::claim", move |connection| {
        let (endpoints, counts, secrets) = (endpoints.clone(), counts.clone(), secrets.clone());
        async move {
            let rows = sqlx::query(&CLAIM)
                .bind(now)
                .bind(until)
                .bind(endpoints)
                .bind(counts)
                .bind(each_max)
                .bind(most)
                .fetch_all(connection)
                .await?;
            rows.iter().map(|row| read_due(&secrets, row, now)).collect()
        }
        .boxed()
    });
    claimed.await
}

static CLAIM: LazyLock<String> = LazyLock::new(|| {
    format!(
        "/* webhooks::claim */
    WITH busy AS (
        SELECT * FROM unnest($3::integer[], $4::integer[]) AS busy (endpoint_number, count)),
    picked AS (
        SELECT d.delivery_number FROM webhook_endpoints AS e LEFT JOIN busy USING (endpoint_number)
            CROSS JOIN LATERAL (
                SELECT * FROM (
                    SELECT delivery_number, due_at FROM webhook_deliveries AS one
                    WHERE one.endpoint_number = e.endpoint_number AND one.due_at <= $1
                      AND (one.claimed_until IS NULL OR one.claimed_until <= $1)
                    ORDER BY one.due_at, one.delivery_number
                    LIMIT CASE WHEN e.failing_since IS NULL
                        THEN greatest(0, $5 - coalesce(busy.count, 0)) ELSE 0 END
                    FOR UPDATE SKIP LOCKED) AS usual
                UNION ALL SELECT * FROM (
                    SELECT delivery_number, due_at FROM webhook_deliveries AS one
                    WHERE one.endpoint_number = e.endpoint_number AND one.due_at <= $1
                      AND (one.claimed_until IS NULL OR one.claimed_until <= $1)
                    ORDER BY one.attempts DESC, one.due_at
                    LIMIT CASE WHEN e.failing_since IS NULL OR busy.count > 0 THEN 0 ELSE 1 END
                    FOR UPDATE SKIP LOCKED) AS failing) AS d
        WHERE e.deleted_at IS NULL AND e.disabled_at IS NULL
        ORDER BY d.due_at LIMIT $6),
    claimed AS (
        UPDATE webhook_deliveries AS one SET claimed_until = $2 FROM picked
        WHERE one.delivery_number = picked.delivery_number RETURNING one.*)
    SELECT c.delivery_number, c.endpoint_number, c.attempts, c.event_number, c.event AS test_event,
        c.created_at, e.url, e.sealed, e.key_id, e.previous_sealed, e.previous_key_id,
        e.previous_until, {}
    FROM claimed AS c JOIN webhook_endpoints AS e USING (endpoint_number)
        LEFT JOIN outbox AS o USING (event_number)
        LEFT JOIN accounts AS a ON a.account_key = coalesce(o.account_key, e.account_key)
        LEFT JOIN transactions AS t
            ON o.data IS NULL AND t.account_key = o.account_key AND t.sequence = o.sequence
    ORDER BY c.delivery_number",
        *outbox::COLUMNS
    )
});

fn read_due(secrets: &WebhookSecrets, row: &PgRow, now: DateTime<Utc>) -> Result<Due, LedgerError> {
    let endpoint = EndpointId(row.try_get("endpoint_number")?);
    let posted = match row.try_get::<Option<i64>, _>("event_number")? {
        Some(_) => Posted::Event(Box::new(read_event(row)?)),
        None => Posted::Test {
            id: row.try_get("test_event")?,
            at: row.try_get("created_at")?,
            account: row.try_get("account")?,
        },
    };
    Ok(Due {
        id: DeliveryId(row.try_get("delivery_number")?),
        endpoint,
        url: row.try_get("url")?,
        attempts: row.try_get("attempts")?,
        secrets: secrets.open_row(endpoint, row, now)?,
        posted,
    })
}

/// What became of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempted {
    /// The delivery.
    pub id: DeliveryId,
    /// When it was answered, or failed.
    pub at: DateTime<Utc>,
    /// The HTTP status; `None`: no answer.
    pub answer_status: Option<u16>,
    /// The beginning of the answer's body.
    pub answer: Option<String>,
    /// Why it failed; `None`: it is delivered.
    pub error: Option<String>,
    /// When it is tried again.
    pub due_at: Option<DateTime<Utc>>,
}

/// Notes what became of attempts, all in one statement. An endpoint that was deleted or disabled
/// meanwhile is not tried again.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn note(store: &Store, attempted: &[Attempted]) -> Result<(), StoreError> {
    let each = || attempted.iter();
    let statement = || {
        sqlx::query(NOTE)
            .bind(each().map(|one| one.id.0).collect::<Vec<_>>())
            .bind(each().map(|one| one.at).collect::<Vec<_>>())
            .bind(each().map(|one| one.answer_status.map(i32::from)).collect::<Vec<_>>())
            .bind(each().map(|one| one.answer.clone()).collect::<Vec<_>>())
            .bind(each().map(|one| one.error.clone()).collect::<Vec<_>>())
            .bind(each().map(|one| one.due_at).collect::<Vec<_>>())
    };
    store.execute("webhooks::note", statement).await.map(|_| ())
}

const NOTE: &str = "/* webhooks::note */
    WITH done AS (
        SELECT * FROM unnest($1::bigint[], $2::timestamptz[], $3::integer[], $4::text[], $5::text[],
            $6::timestamptz[]) AS done (delivery_number, at, status, answer, error, due_at)),
    noted AS (
        UPDATE webhook_deliveries AS d
        SET attempts = d.attempts + 1, last_attempt_at = done.at, answer_status = done.status,
            answer = done.answer, error = done.error, claimed_until = NULL,
            due_at = CASE WHEN e.deleted_at IS NULL AND e.disabled_at IS NULL THEN done.due_at END,
            delivered_at = CASE WHEN done.error IS NULL THEN done.at END
        FROM done JOIN webhook_deliveries AS old USING (delivery_number)
            JOIN webhook_endpoints AS e USING (endpoint_number)
        WHERE d.delivery_number = done.delivery_number
        RETURNING d.endpoint_number, done.error IS NULL AS is_delivered, done.at),
    seen AS (
        SELECT endpoint_number, bool_or(is_delivered) AS is_well, min(at) AS at
        FROM noted GROUP BY endpoint_number)
    UPDATE webhook_endpoints AS e
    SET failing_since = CASE WHEN seen.is_well THEN NULL ELSE seen.at END
    FROM seen WHERE e.endpoint_number = seen.endpoint_number
      AND (e.failing_since IS NULL) <> seen.is_well";

/// Gives up every delivery that waits for an endpoint.
pub(super) async fn drop_waiting(
    connection: &mut PgConnection,
    id: EndpointId,
    error: &str,
) -> Result<(), StoreError> {
    sqlx::query(
        "/* webhooks::drop_waiting */ UPDATE webhook_deliveries
         SET due_at = NULL, claimed_until = NULL, error = coalesce(error, $2)
         WHERE endpoint_number = $1 AND due_at IS NOT NULL",
    )
    .bind(id.0)
    .bind(error)
    .execute(connection)
    .await?;
    Ok(())
}

/// Gives up deliveries that were noted while their endpoint was disabled or deleted, and deletes
/// old tests.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn tidy(store: &Store, now: DateTime<Utc>) -> Result<(), StoreError> {
    let left = || {
        sqlx::query(
            "/* webhooks::tidy, left */ UPDATE webhook_deliveries AS d
             SET due_at = NULL, claimed_until = NULL
             FROM webhook_endpoints AS e
             WHERE e.endpoint_number = d.endpoint_number AND d.due_at IS NOT NULL
               AND (e.deleted_at IS NOT NULL OR e.disabled_at IS NOT NULL)",
        )
    };
    store.execute("webhooks::tidy", left).await?;
    let tests = || {
        sqlx::query(
            "/* webhooks::tidy, tests */ DELETE FROM webhook_deliveries
             WHERE event_number IS NULL AND created_at < $1",
        )
        .bind(now - TESTS_KEPT_FOR)
    };
    store.execute("webhooks::tidy", tests).await.map(|_| ())
}

/// What waits, and who does not take it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, sqlx::FromRow)]
pub struct Waiting {
    /// Deliveries that wait.
    pub deliveries: i64,
    /// Those that were due some time ago and were not tried, of endpoints that do not fail.
    pub overdue: i64,
    /// Endpoints whose last attempt failed.
    pub failing: i64,
    /// Disabled endpoints.
    pub disabled: i64,
}

/// Counts what waits. A delivery is overdue if it was due before `overdue_before`.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn waiting(
    connection: &mut PgConnection,
    overdue_before: DateTime<Utc>,
) -> Result<Waiting, StoreError> {
    let waiting = sqlx::query_as(
        "/* webhooks::waiting */
         SELECT d.deliveries, d.overdue, e.failing, e.disabled
         FROM (SELECT count(*) AS deliveries,
                   count(*) FILTER (WHERE due_at < $1 AND failing_since IS NULL) AS overdue
               FROM webhook_deliveries JOIN webhook_endpoints USING (endpoint_number)
               WHERE due_at IS NOT NULL) AS d,
             (SELECT count(*) FILTER (WHERE disabled_at IS NULL AND failing_since IS NOT NULL)
                  AS failing, count(disabled_at) AS disabled
              FROM webhook_endpoints WHERE deleted_at IS NULL) AS e",
    )
    .bind(overdue_before)
    .fetch_one(connection)
    .await?;
    Ok(waiting)
}
