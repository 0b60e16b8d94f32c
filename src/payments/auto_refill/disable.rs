//! Auto-refill that is switched off by itself, and the event that says so.

use callmeter_core::domain::EventType;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use sqlx::PgConnection;

use crate::ledger::LedgerError;
use crate::ledger::outbox::{self, Fact};
use crate::ledger::payments::auto_refills;
use crate::ledger::payments::cards::SavedCard;

/// Switches auto-refill off for a reason, under the wallet's lock; true if it was on. `decline` is
/// the decline that caused it, as customers see it.
pub(in crate::payments) async fn disable(
    connection: &mut PgConnection,
    account_key: i32,
    reason: &str,
    decline: Value,
    at: DateTime<Utc>,
) -> Result<bool, LedgerError> {
    if !auto_refills::switch_off(connection, account_key, Some(reason)).await? {
        return Ok(false);
    }
    let data = Some(json!({ "reason": reason, "decline": decline }));
    let kind = EventType::AutoRefillDisabled;
    outbox::add(connection, &[Fact { account_key, kind, at, sequence: None, data }]).await?;
    Ok(true)
}

/// Switches auto-refill off if the card that it charges is gone, under the wallet's lock.
pub(in crate::payments) async fn card_gone(
    connection: &mut PgConnection,
    account_key: i32,
    left: &[SavedCard],
    at: DateTime<Utc>,
) -> Result<bool, LedgerError> {
    let Some(found) = auto_refills::find(connection, account_key).await? else {
        return Ok(false);
    };
    let is_there = match &found.payment_method {
        Some(named) => left.iter().any(|card| card.id == *named),
        None => !left.is_empty(),
    };
    if is_there {
        return Ok(false);
    }
    disable(connection, account_key, "card_removed", Value::Null, at).await
}
