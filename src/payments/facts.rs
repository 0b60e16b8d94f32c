//! What the outbox tells of payments. The data of a refill is that of `GET …/refills/{id}` for an
//! account's key, without any secret, and with the page that a customer opens.

use callmeter_core::domain::{EventType, RefillId};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use sqlx::PgConnection;

use crate::json::{RefillJson, Shown};
use crate::ledger::LedgerError;
use crate::ledger::outbox::{self, Fact};
use crate::ledger::payments::refills::{self, Which};

/// Writes a fact of a refill as it is now, under the wallet's lock. `public_url` is where the page
/// of the wallet is.
///
/// # Errors
/// If Postgres is unavailable.
pub(super) async fn tell_refill(
    connection: &mut PgConnection,
    kind: EventType,
    id: &RefillId,
    public_url: Option<&str>,
    at: DateTime<Utc>,
) -> Result<(), LedgerError> {
    let refill = refills::find(connection, Which::Id(id)).await?;
    let refill = refill.ok_or_else(|| LedgerError::unreadable("a refill", "it vanished"))?;
    let (account_key, sequence) = (refill.account_key, refill.outcome_sequence);
    let written = serde_json::to_value(RefillJson::new(refill, Shown::default()));
    let mut data = written.map_err(|error| LedgerError::unreadable("a refill", error))?;
    if let Some(fields) = data.as_object_mut() {
        // The bank's page has a right in it, and nothing here may.
        for secret in ["client_secret", "publishable_key", "redirect_url"] {
            fields.remove(secret);
        }
        fields.insert("link".to_owned(), link(public_url, id));
    }
    let fact = Fact { account_key, kind, at, sequence, data: Some(data) };
    Ok(outbox::add(connection, &[fact]).await?)
}

/// The page of a refill, which gives no right by itself.
fn link(public_url: Option<&str>, id: &RefillId) -> Value {
    let page = |base: &str| json!(format!("{}/wallet/refills/{id}", base.trim_end_matches('/')));
    public_url.map_or(Value::Null, page)
}
