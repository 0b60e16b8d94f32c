//! An account's latest calls, from which the lengths of its next ones are estimated.
//!
//! Reads only.

use callmeter_core::domain::{Call, CallSid};
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use super::error::LedgerError;

/// A charged call, as far as an estimate needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnCall {
    /// The call, with the prefix that matched where its number was redacted.
    pub call: Call,
    /// When it was charged.
    pub charged_at: DateTime<Utc>,
}

/// Reads the calls charged last, newest first.
///
/// # Errors
/// `Unreadable` if a row holds what this program never writes.
pub async fn newest(
    connection: &mut PgConnection,
    account_key: i32,
    most: u16,
) -> Result<Vec<OwnCall>, LedgerError> {
    let rows = sqlx::query(
        "/* own_calls::newest */
         SELECT call_sid, parent_call_sid, call_from, call_to, direction, matched_prefix, seconds,
             started_at, charged_at
         FROM charges WHERE account_key = $1 ORDER BY charge_sequence DESC LIMIT $2",
    )
    .bind(account_key)
    .bind(i64::from(most))
    .fetch_all(connection)
    .await?;
    rows.iter().map(read).collect()
}

fn read(row: &PgRow) -> Result<OwnCall, LedgerError> {
    let unreadable = |error| LedgerError::unreadable("a charge", error);
    let text = |name: &str| row.try_get::<Option<&str>, _>(name);
    let prefix = text("matched_prefix")?;
    // A redacted number is an empty text.
    let end = |stored: Option<&str>| match stored {
        Some("") => prefix.map(Into::into),
        stored => stored.map(Into::into),
    };
    let seconds: i32 = row.try_get("seconds")?;
    let started_at: DateTime<Utc> = row.try_get("started_at")?;
    let call = Call {
        call_sid: CallSid::parse(row.try_get("call_sid")?).map_err(unreadable)?,
        parent_call_sid: text("parent_call_sid")?.map(Into::into),
        from: end(text("call_from")?),
        to: end(text("call_to")?),
        direction: text("direction")?.map(Into::into),
        ended_at: started_at + TimeDelta::seconds(seconds.into()),
        seconds: seconds.unsigned_abs(),
        twilio_minutes: None,
        tag: None,
    };
    Ok(OwnCall { call, charged_at: row.try_get("charged_at")? })
}
