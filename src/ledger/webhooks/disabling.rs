//! Endpoints that are disabled by themselves, and the event that says so.

use callmeter_core::domain::EventType;
use serde_json::json;
use sqlx::PgConnection;

use super::EndpointId;
use super::endpoints::{DisabledReason, find, lock};
use super::posting::drop_waiting;
use crate::ledger::audit::{self, Action, By};
use crate::ledger::outbox::{self, Fact};
use crate::ledger::{LedgerError, wallets};
use crate::masked::masked_url;

/// Disables an endpoint, drops what waits for it, and tells its account; false if it was not active.
/// An endpoint for all accounts has nobody to tell: `status` and the metrics show it.
///
/// # Errors
/// If Postgres fails, or holds a value that cannot be read.
pub async fn disable(
    connection: &mut PgConnection,
    id: EndpointId,
    reason: DisabledReason,
    by: &By,
) -> Result<bool, LedgerError> {
    let Some(endpoint) = find(connection, id, &None).await? else { return Ok(false) };
    // Wallets are locked first, everywhere.
    if let Some(account_key) = endpoint.account_key {
        wallets::lock(connection, account_key).await?;
    }
    let Some(before) = lock(connection, id, &None).await? else { return Ok(false) };
    if before.disabled.is_some() {
        return Ok(false);
    }
    sqlx::query(
        "/* webhooks::disable */ UPDATE webhook_endpoints
         SET disabled_at = $2, disabled_reason = $3 WHERE endpoint_number = $1",
    )
    .bind(id.0)
    .bind(by.at)
    .bind(reason.as_str())
    .execute(&mut *connection)
    .await?;
    drop_waiting(connection, id, "the endpoint was disabled").await?;
    if let Some(account_key) = before.account_key {
        let data = json!({
            "endpoint": id.to_string(), "url": masked_url(&before.url), "reason": reason.as_str(),
        });
        let (kind, at) = (EventType::WebhookEndpointDisabled, by.at);
        let fact = Fact { account_key, kind, at, sequence: None, data: Some(data) };
        outbox::add(connection, &[fact]).await?;
    }
    let after = json!({ "status": "disabled", "reason": reason.as_str() });
    let entry = before.entry(Action::WebhookEndpointDisabled, before.audited_status(), after);
    audit::note(connection, by, &entry).await?;
    Ok(true)
}
