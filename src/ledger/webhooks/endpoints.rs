//! Endpoints: created, listed, rotated, enabled, deleted.

use callmeter_core::domain::{AccountId, EventType};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use super::posting::drop_waiting;
use super::{EndpointId, WebhookSecrets};
use crate::config::Secret;
use crate::ledger::LedgerError;
use crate::ledger::accounts;
use crate::ledger::audit::{self, Action, AuditEntry, By};
use crate::ledger::history::{Page, Stretch, page};
use crate::masked::masked_url;

/// Most endpoints of an account, and of all accounts together.
pub const ENDPOINTS_MAX: i64 = 20;

/// Whose endpoints a caller reaches; `None`: everybody's.
pub type Owner = Option<AccountId>;

/// An endpoint to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEndpoint {
    /// Whose events it gets; `None`: those of all accounts.
    pub account: Option<AccountId>,
    /// Where they are posted.
    pub url: String,
    /// Their types; `None`: all.
    pub types: Option<Vec<EventType>>,
    /// What it is for.
    pub description: Option<String>,
}

/// An endpoint without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the columns are documented in the schema")]
pub struct Endpoint {
    pub id: EndpointId,
    pub account: Option<AccountId>,
    pub account_key: Option<i32>,
    pub url: String,
    pub types: Option<Vec<String>>,
    pub description: Option<String>,
    pub created_at: DateTime<Utc>,
    pub failing_since: Option<DateTime<Utc>>,
    pub disabled: Option<(DateTime<Utc>, DisabledReason)>,
}

impl Endpoint {
    /// Whether it gets events.
    pub const fn status(&self) -> EndpointStatus {
        if self.disabled.is_some() { EndpointStatus::Disabled } else { EndpointStatus::Active }
    }
}

/// Whether an endpoint gets events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointStatus {
    /// It does.
    Active,
    /// It does not, until it is enabled again.
    Disabled,
}

impl EndpointStatus {
    /// Every status.
    pub const ALL: &[Self] = &[Self::Active, Self::Disabled];

    /// Its spelling.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Disabled => "disabled",
        }
    }
}

/// Why an endpoint was disabled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DisabledReason {
    /// It answered 410.
    Gone,
    /// The last retry of a delivery failed.
    Failed,
}

impl DisabledReason {
    /// Every reason.
    pub const ALL: &[Self] = &[Self::Gone, Self::Failed];

    /// Its spelling.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Failed => "failed",
        }
    }

    fn parse(word: &str) -> Result<Self, LedgerError> {
        let known = Self::ALL.iter().copied().find(|reason| reason.as_str() == word);
        known.ok_or_else(|| LedgerError::unreadable("why an endpoint is disabled", word))
    }
}

/// Why an endpoint is not created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotCreated {
    /// There is no such account.
    UnknownAccount,
    /// There would be more than [`ENDPOINTS_MAX`].
    TooMany,
}

const COLUMNS: &str = "e.endpoint_number, a.id AS account, e.account_key, e.url, e.types,
    e.description, e.created_at, e.failing_since, e.disabled_at, e.disabled_reason";

impl WebhookSecrets {
    /// Creates an endpoint with its secret.
    ///
    /// # Errors
    /// `Unreadable` if there is no key to seal with: check [`Self::can_be_set`] first.
    pub async fn create(
        &self,
        connection: &mut PgConnection,
        new: &NewEndpoint,
        secret: &Secret,
        by: &By,
    ) -> Result<Result<Endpoint, NotCreated>, LedgerError> {
        let account_key = match &new.account {
            Some(account) => match accounts::lock(connection, account).await? {
                Some(head) => Some(head.account_key),
                None => return Ok(Err(NotCreated::UnknownAccount)),
            },
            None => None,
        };
        let (number, count): (i32, i64) = sqlx::query_as(
            "/* webhooks::create, number */
             SELECT nextval(pg_get_serial_sequence('webhook_endpoints', 'endpoint_number'))::integer,
                 (SELECT count(*) FROM webhook_endpoints
                  WHERE account_key IS NOT DISTINCT FROM $1 AND deleted_at IS NULL)",
        )
        .bind(account_key)
        .fetch_one(&mut *connection)
        .await?;
        if count >= ENDPOINTS_MAX {
            return Ok(Err(NotCreated::TooMany));
        }
        let id = EndpointId(number);
        let sealed = self.seal(id, secret)?;
        sqlx::query(
            "/* webhooks::create */ INSERT INTO webhook_endpoints (endpoint_number, account_key, url,
                 types, description, sealed, key_id, created_at)
             OVERRIDING SYSTEM VALUE VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(number)
        .bind(account_key)
        .bind(&new.url)
        .bind(new.types.as_ref().map(|types| types.iter().map(|it| it.as_str()).collect::<Vec<_>>()))
        .bind(&new.description)
        .bind(&sealed.bytes)
        .bind(&sealed.key_id)
        .bind(by.at)
        .execute(&mut *connection)
        .await?;
        let endpoint = must_find(connection, id).await?;
        let entry = endpoint.entry(Action::WebhookEndpointCreated, Value::Null, endpoint.audited());
        audit::note(connection, by, &entry).await?;
        Ok(Ok(endpoint))
    }

    /// Gives an endpoint a new secret; the one before signs beside it for a while. `None`: the
    /// caller has no such endpoint.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub async fn rotate(
        &self,
        connection: &mut PgConnection,
        id: EndpointId,
        owner: &Owner,
        secret: &Secret,
        by: &By,
    ) -> Result<Option<Endpoint>, LedgerError> {
        let Some(endpoint) = lock(connection, id, owner).await? else { return Ok(None) };
        let sealed = self.seal(id, secret)?;
        sqlx::query(
            "/* webhooks::rotate */ UPDATE webhook_endpoints
             SET previous_sealed = sealed, previous_key_id = key_id, previous_until = $4,
                 sealed = $2, key_id = $3 WHERE endpoint_number = $1",
        )
        .bind(id.0)
        .bind(&sealed.bytes)
        .bind(&sealed.key_id)
        .bind(self.previous_until(by.at))
        .execute(&mut *connection)
        .await?;
        let after = json!({ "previous_until": self.previous_until(by.at) });
        let entry = endpoint.entry(Action::WebhookSecretRotated, Value::Null, after);
        audit::note(connection, by, &entry).await?;
        Ok(Some(endpoint))
    }
}

/// Lists endpoints that are not deleted, newest first, without their secrets. `account` narrows the
/// list.
///
/// # Errors
/// If Postgres fails, or holds a value that cannot be read.
pub async fn endpoints(
    connection: &mut PgConnection,
    account: Option<&AccountId>,
    stretch: &Stretch,
) -> Result<Page<Endpoint>, LedgerError> {
    let statement = format!(
        "/* webhooks::endpoints */
         SELECT {COLUMNS} FROM webhook_endpoints AS e LEFT JOIN accounts AS a USING (account_key)
         WHERE e.deleted_at IS NULL AND e.endpoint_number < $1
           AND e.created_at >= coalesce($2, '-infinity') AND e.created_at < coalesce($3, 'infinity')
           AND ($4::text IS NULL OR a.id = $4)
         ORDER BY e.endpoint_number DESC LIMIT $5"
    );
    let rows = sqlx::query(&statement)
        .bind(stretch.below.unwrap_or(i64::MAX))
        .bind(stretch.from)
        .bind(stretch.to)
        .bind(account.map(AccountId::as_str))
        .bind(i64::from(stretch.limit) + 1)
        .fetch_all(connection)
        .await?;
    let items = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    Ok(page(items, stretch.limit, |endpoint| endpoint.id.0.into()))
}

/// Finds an endpoint that is not deleted; `None`: the caller has no such endpoint.
///
/// # Errors
/// If Postgres fails, or holds a value that cannot be read.
pub async fn find(
    connection: &mut PgConnection,
    id: EndpointId,
    owner: &Owner,
) -> Result<Option<Endpoint>, LedgerError> {
    find_with(connection, id, owner, "").await
}

/// As [`find`], and locks it until the transaction ends.
pub(super) async fn lock(
    connection: &mut PgConnection,
    id: EndpointId,
    owner: &Owner,
) -> Result<Option<Endpoint>, LedgerError> {
    find_with(connection, id, owner, "FOR NO KEY UPDATE OF e").await
}

async fn find_with(
    connection: &mut PgConnection,
    id: EndpointId,
    owner: &Owner,
    locking: &str,
) -> Result<Option<Endpoint>, LedgerError> {
    let statement = format!(
        "/* webhooks::find */
         SELECT {COLUMNS} FROM webhook_endpoints AS e LEFT JOIN accounts AS a USING (account_key)
         WHERE e.endpoint_number = $1 AND e.deleted_at IS NULL AND ($2::text IS NULL OR a.id = $2)
         {locking}"
    );
    let found = sqlx::query(&statement).bind(id.0).bind(owner.as_ref().map(AccountId::as_str));
    found.fetch_optional(connection).await?.as_ref().map(read).transpose()
}

async fn must_find(connection: &mut PgConnection, id: EndpointId) -> Result<Endpoint, LedgerError> {
    let found = find(connection, id, &None).await?;
    found.ok_or_else(|| LedgerError::unreadable("an endpoint", format!("{id} vanished")))
}

/// Enables an endpoint again; has no effect on an active one. `None`: the caller has no such
/// endpoint.
///
/// # Errors
/// If Postgres fails, or holds a value that cannot be read.
pub async fn enable(
    connection: &mut PgConnection,
    id: EndpointId,
    owner: &Owner,
    by: &By,
) -> Result<Option<Endpoint>, LedgerError> {
    let Some(before) = lock(connection, id, owner).await? else { return Ok(None) };
    if before.disabled.is_none() {
        by.changed_nothing();
        return Ok(Some(before));
    }
    sqlx::query(
        "/* webhooks::enable */ UPDATE webhook_endpoints
         SET disabled_at = NULL, disabled_reason = NULL, failing_since = NULL
         WHERE endpoint_number = $1",
    )
    .bind(id.0)
    .execute(&mut *connection)
    .await?;
    let after = must_find(connection, id).await?;
    let entry = after.entry(
        Action::WebhookEndpointEnabled,
        before.audited_status(),
        after.audited_status(),
    );
    audit::note(connection, by, &entry).await?;
    Ok(Some(after))
}

/// Deletes an endpoint: it gets nothing more, and its address and secret are forgotten. `None`: the
/// caller has no such endpoint.
///
/// # Errors
/// If Postgres fails, or holds a value that cannot be read.
pub async fn delete(
    connection: &mut PgConnection,
    id: EndpointId,
    owner: &Owner,
    by: &By,
) -> Result<Option<()>, LedgerError> {
    let Some(endpoint) = lock(connection, id, owner).await? else { return Ok(None) };
    sqlx::query(
        "/* webhooks::delete */ UPDATE webhook_endpoints
         SET deleted_at = $2, url = '', description = NULL, sealed = '', key_id = '',
             previous_sealed = NULL, previous_key_id = NULL, previous_until = NULL
         WHERE endpoint_number = $1",
    )
    .bind(id.0)
    .bind(by.at)
    .execute(&mut *connection)
    .await?;
    drop_waiting(connection, id, "the endpoint was deleted").await?;
    let entry = endpoint.entry(Action::WebhookEndpointDeleted, endpoint.audited(), Value::Null);
    audit::note(connection, by, &entry).await?;
    Ok(Some(()))
}

impl Endpoint {
    /// An entry of the audit.
    pub(super) fn entry(&self, action: Action, before: Value, after: Value) -> AuditEntry {
        let (account_key, subject) = (self.account_key, self.id.to_string());
        AuditEntry { action, account_key, subject, before, after }
    }

    /// What the audit keeps; the path may be a secret of the receiver.
    fn audited(&self) -> Value {
        json!({ "url": masked_url(&self.url), "events": self.types, "account": self.account })
    }

    pub(super) fn audited_status(&self) -> Value {
        let reason = self.disabled.map(|(_, reason)| reason.as_str());
        json!({ "status": self.status().as_str(), "reason": reason })
    }
}

fn read(row: &PgRow) -> Result<Endpoint, LedgerError> {
    let account = row.try_get::<Option<&str>, _>("account")?.map(AccountId::parse).transpose();
    let account = account.map_err(|error| LedgerError::unreadable("an account id", error))?;
    let disabled_at: Option<DateTime<Utc>> = row.try_get("disabled_at")?;
    let reason: Option<&str> = row.try_get("disabled_reason")?;
    let disabled = match (disabled_at, reason) {
        (Some(at), Some(word)) => Some((at, DisabledReason::parse(word)?)),
        _ => None,
    };
    Ok(Endpoint {
        id: EndpointId(row.try_get("endpoint_number")?),
        account,
        account_key: row.try_get("account_key")?,
        url: row.try_get("url")?,
        types: row.try_get("types")?,
        description: row.try_get("description")?,
        created_at: row.try_get("created_at")?,
        failing_since: row.try_get("failing_since")?,
        disabled,
    })
}
