//! What the outbox tells of numbers: the number, as `GET …/numbers` shows it.

use callmeter_core::domain::{EventType, NumberId};
use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::json::NumberJson;
use crate::ledger::LedgerError;
use crate::ledger::numbers::{self, Which};
use crate::ledger::outbox::{self, Fact};

/// Writes a fact of a number as it is now, under the wallet's lock.
///
/// # Errors
/// If Postgres is unavailable.
pub(super) async fn tell(
    connection: &mut PgConnection,
    kind: EventType,
    id: &NumberId,
    at: DateTime<Utc>,
) -> Result<(), LedgerError> {
    let number = numbers::find(connection, Which::Id(id)).await?;
    let number = number.ok_or_else(|| LedgerError::unreadable("a number", "it vanished"))?;
    let (account_key, sequence) =
        (number.account_key, number.refund_sequence.or(number.debit_sequence));
    let data = serde_json::to_value(NumberJson::from(number))
        .map_err(|error| LedgerError::unreadable("a number", error))?;
    let fact = Fact { account_key, kind, at, sequence, data: Some(data) };
    Ok(outbox::add(connection, &[fact]).await?)
}
