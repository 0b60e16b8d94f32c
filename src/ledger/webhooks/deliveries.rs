//! Deliveries as their endpoint's owner sees them: listed, replayed, tested.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use sqlx::postgres::PgRow;
use sqlx::types::Uuid;
use sqlx::{PgConnection, Row};

use super::endpoints::{Endpoint, Owner, lock};
use super::{DeliveryId, EndpointId};
use crate::ledger::LedgerError;
use crate::ledger::audit::{self, Action, By};
use crate::ledger::history::{Page, Stretch, page};

/// The type of a test, without the prefix.
pub const TEST_TYPE: &str = "webhook_endpoint.test";

/// How far a delivery is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryStatus {
    /// It is to be posted, or posted again.
    Pending,
    /// It was answered with 2xx.
    Delivered,
    /// It was given up.
    Failed,
}

impl DeliveryStatus {
    /// Every status.
    pub const ALL: &[Self] = &[Self::Pending, Self::Delivered, Self::Failed];

    /// Its spelling.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
        }
    }
}

/// What is posted to an endpoint, and its last answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the columns are documented in the schema")]
pub struct Delivery {
    pub id: DeliveryId,
    pub endpoint: EndpointId,
    pub event: Uuid,
    pub kind: String,
    pub created_at: DateTime<Utc>,
    pub attempts: i32,
    pub due_at: Option<DateTime<Utc>>,
    pub last_attempt_at: Option<DateTime<Utc>>,
    pub answer_status: Option<i32>,
    pub answer: Option<String>,
    pub error: Option<String>,
    pub delivered_at: Option<DateTime<Utc>>,
}

impl Delivery {
    /// How far it is.
    pub const fn status(&self) -> DeliveryStatus {
        match (self.delivered_at, self.due_at) {
            (Some(_), _) => DeliveryStatus::Delivered,
            (None, Some(_)) => DeliveryStatus::Pending,
            (None, None) => DeliveryStatus::Failed,
        }
    }
}

/// Why a delivery is not replayed, or a test not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotReplayed {
    /// The caller has no such endpoint.
    UnknownEndpoint,
    /// The endpoint has no such delivery.
    UnknownDelivery,
    /// The endpoint is disabled.
    Disabled,
}

const COLUMNS: &str = "delivery_number, endpoint_number, event, type, created_at, attempts, due_at,
    last_attempt_at, answer_status, answer, error, delivered_at";

/// Lists the deliveries of an endpoint, newest first.
///
/// # Errors
/// If Postgres fails, or holds a value that cannot be read.
pub async fn list(
    connection: &mut PgConnection,
    endpoint: EndpointId,
    stretch: &Stretch,
) -> Result<Page<Delivery>, LedgerError> {
    let statement = format!(
        "/* webhooks::deliveries */ SELECT {COLUMNS} FROM webhook_deliveries
         WHERE endpoint_number = $1 AND delivery_number < $2
           AND created_at >= coalesce($3, '-infinity') AND created_at < coalesce($4, 'infinity')
         ORDER BY delivery_number DESC LIMIT $5"
    );
    let rows = sqlx::query(&statement)
        .bind(endpoint.0)
        .bind(stretch.below.unwrap_or(i64::MAX))
        .bind(stretch.from)
        .bind(stretch.to)
        .bind(i64::from(stretch.limit) + 1)
        .fetch_all(connection)
        .await?;
    let items = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    Ok(page(items, stretch.limit, |delivery| delivery.id.0))
}

/// Makes a delivery due again at once, with all its retries.
///
/// # Errors
/// If Postgres fails, or holds a value that cannot be read.
pub async fn replay(
    connection: &mut PgConnection,
    endpoint: EndpointId,
    id: DeliveryId,
    owner: &Owner,
    by: &By,
) -> Result<Result<Delivery, NotReplayed>, LedgerError> {
    let found = match active(connection, endpoint, owner).await? {
        Ok(found) => found,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let statement = format!(
        "/* webhooks::replay */ UPDATE webhook_deliveries
         SET due_at = $3, attempts = 0, claimed_until = NULL, delivered_at = NULL
         WHERE delivery_number = $1 AND endpoint_number = $2 RETURNING {COLUMNS}"
    );
    let row = sqlx::query(&statement).bind(id.0).bind(endpoint.0).bind(by.at);
    let Some(row) = row.fetch_optional(&mut *connection).await? else {
        return Ok(Err(NotReplayed::UnknownDelivery));
    };
    let delivery = read(&row)?;
    let after = json!({ "delivery": id.to_string(), "event": delivery.event.to_string() });
    let entry = found.entry(Action::WebhookReplayed, Value::Null, after);
    audit::note(connection, by, &entry).await?;
    Ok(Ok(delivery))
}

/// Makes a test due.
///
/// # Errors
/// If Postgres fails, or holds a value that cannot be read.
pub async fn test(
    connection: &mut PgConnection,
    endpoint: EndpointId,
    owner: &Owner,
    by: &By,
) -> Result<Result<Delivery, NotReplayed>, LedgerError> {
    let found = match active(connection, endpoint, owner).await? {
        Ok(found) => found,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let statement = format!(
        "/* webhooks::test */ INSERT INTO webhook_deliveries
             (endpoint_number, event, type, created_at, due_at)
         VALUES ($1, gen_random_uuid(), $2, $3, $3) RETURNING {COLUMNS}"
    );
    let row = sqlx::query(&statement).bind(endpoint.0).bind(TEST_TYPE).bind(by.at);
    let delivery = read(&row.fetch_one(&mut *connection).await?)?;
    let after = json!({ "delivery": delivery.id.to_string(), "event": delivery.event.to_string() });
    let entry = found.entry(Action::WebhookTested, Value::Null, after);
    audit::note(connection, by, &entry).await?;
    Ok(Ok(delivery))
}

/// Locks an endpoint that gets events.
async fn active(
    connection: &mut PgConnection,
    id: EndpointId,
    owner: &Owner,
) -> Result<Result<Endpoint, NotReplayed>, LedgerError> {
    Ok(match lock(connection, id, owner).await? {
        None => Err(NotReplayed::UnknownEndpoint),
        Some(endpoint) if endpoint.disabled.is_some() => Err(NotReplayed::Disabled),
        Some(endpoint) => Ok(endpoint),
    })
}

fn read(row: &PgRow) -> Result<Delivery, LedgerError> {
    Ok(Delivery {
        id: DeliveryId(row.try_get("delivery_number")?),
        endpoint: EndpointId(row.try_get("endpoint_number")?),
        event: row.try_get("event")?,
        kind: row.try_get("type")?,
        created_at: row.try_get("created_at")?,
        attempts: row.try_get("attempts")?,
        due_at: row.try_get("due_at")?,
        last_attempt_at: row.try_get("last_attempt_at")?,
        answer_status: row.try_get("answer_status")?,
        answer: row.try_get("answer")?,
        error: row.try_get("error")?,
        delivered_at: row.try_get("delivered_at")?,
    })
}
