//! What the ledger knows about calls that Twilio lists: their accounts, which are charged, and
//! which cannot be.
//!
//! Reads only. A call that is not found may still be in Kafka. Publishing it again is harmless: its
//! key charges it once.

use std::collections::{HashMap, HashSet};

use callmeter_core::domain::{AccountId, CallSid, TwilioAccountSid};
use sqlx::{PgConnection, Row};

use super::call_key::CallKey;
use super::error::LedgerError;

/// A Twilio account, and the account that pays for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkedAccount {
    /// Internal key of the Twilio account.
    pub twilio_account_key: i32,
    /// Internal key of the account.
    pub account_key: i32,
    /// The account.
    pub account: AccountId,
    /// Its SID at Twilio.
    pub sid: TwilioAccountSid,
}

/// Lists at most `limit` Twilio accounts with keys above `after`, by key.
///
/// # Errors
/// If Postgres fails, or holds a value that cannot be read.
pub async fn linked_accounts(
    connection: &mut PgConnection,
    after: i32,
    limit: i64,
) -> Result<Vec<LinkedAccount>, LedgerError> {
    let rows = sqlx::query(
        "-- known_calls::linked_accounts
         SELECT t.twilio_account_key, t.account_key, a.id, t.twilio_account_sid
         FROM twilio_accounts AS t JOIN accounts AS a USING (account_key)
         WHERE t.twilio_account_key > $1 ORDER BY t.twilio_account_key LIMIT $2",
    )
    .bind(after)
    .bind(limit)
    .fetch_all(connection)
    .await?;
    rows.iter().map(read).collect()
}

/// Lists the Twilio accounts that these accounts pay for.
///
/// # Errors
/// If Postgres fails, or holds a value that cannot be read.
pub async fn linked_to(
    connection: &mut PgConnection,
    account_keys: &[i32],
) -> Result<Vec<LinkedAccount>, LedgerError> {
    let rows = sqlx::query(
        "-- known_calls::linked_to
         SELECT t.twilio_account_key, t.account_key, a.id, t.twilio_account_sid
         FROM twilio_accounts AS t JOIN accounts AS a USING (account_key)
         WHERE t.account_key = ANY ($1) ORDER BY t.twilio_account_key",
    )
    .bind(account_keys)
    .fetch_all(connection)
    .await?;
    rows.iter().map(read).collect()
}

fn read(row: &sqlx::postgres::PgRow) -> Result<LinkedAccount, LedgerError> {
    Ok(LinkedAccount {
        twilio_account_key: row.try_get("twilio_account_key")?,
        account_key: row.try_get("account_key")?,
        account: AccountId::parse(row.try_get("id")?)
            .map_err(|error| LedgerError::unreadable("an account id", error))?,
        sid: TwilioAccountSid::parse(row.try_get("twilio_account_sid")?)
            .map_err(|error| LedgerError::unreadable("a Twilio account's sid", error))?,
    })
}

/// Which of these calls are charged, and for how many seconds.
///
/// # Errors
/// If Postgres fails, or holds a value that cannot be read.
pub async fn charged(
    connection: &mut PgConnection,
    linked: &LinkedAccount,
    sids: &[CallSid],
) -> Result<HashMap<CallSid, i32>, LedgerError> {
    let keys: Vec<CallKey> = sids.iter().map(CallKey::new).collect();
    let bytes: Vec<&[u8]> = keys.iter().map(CallKey::as_bytes).collect();
    let rows = sqlx::query(
        "-- known_calls::charged
         SELECT asked.place, k.seconds
         FROM unnest($3::bytea[]) WITH ORDINALITY AS asked (call_key, place)
         JOIN call_keys AS k ON k.account_key = $1 AND k.twilio_account_key = $2
              AND k.call_key = asked.call_key",
    )
    .bind(linked.account_key)
    .bind(linked.twilio_account_key)
    .bind(&bytes)
    .fetch_all(connection)
    .await?;
    let mut charged = HashMap::with_capacity(rows.len());
    for row in rows {
        let place: i64 = row.try_get("place")?;
        let index = usize::try_from(place - 1).unwrap_or(usize::MAX);
        if let Some(sid) = sids.get(index) {
            charged.insert(sid.clone(), row.try_get("seconds")?);
        }
    }
    Ok(charged)
}

/// The places of those calls that are charged, each named with its account's key.
///
/// # Errors
/// If Postgres fails.
pub async fn charged_of(
    connection: &mut PgConnection,
    calls: &[(i32, &CallSid)],
) -> Result<HashSet<usize>, LedgerError> {
    let account_keys: Vec<i32> = calls.iter().map(|(account_key, _)| *account_key).collect();
    let keys: Vec<CallKey> = calls.iter().map(|(_, sid)| CallKey::new(sid)).collect();
    let bytes: Vec<&[u8]> = keys.iter().map(CallKey::as_bytes).collect();
    let places: Vec<i64> = sqlx::query_scalar(
        "-- known_calls::charged_of
         SELECT asked.place
         FROM unnest($1::int[], $2::bytea[]) WITH ORDINALITY AS asked (account_key, call_key, place)
         JOIN twilio_accounts AS t USING (account_key)
         JOIN call_keys AS k USING (account_key, twilio_account_key, call_key)",
    )
    .bind(&account_keys)
    .bind(&bytes)
    .fetch_all(connection)
    .await?;
    Ok(places.iter().filter_map(|place| usize::try_from(place - 1).ok()).collect())
}

/// Which of these calls are kept as rejects that cannot be charged.
///
/// # Errors
/// If Postgres fails, or holds a value that cannot be read.
pub async fn rejected(
    connection: &mut PgConnection,
    sid: &TwilioAccountSid,
    sids: &[CallSid],
) -> Result<HashSet<CallSid>, LedgerError> {
    let rows: Vec<String> = sqlx::query_scalar(
        "-- known_calls::rejected
         SELECT DISTINCT call_sid FROM rejects
         WHERE twilio_account_sid = $1 AND call_sid = ANY ($2) AND reason = 'invalid'",
    )
    .bind(sid.as_str())
    .bind(sids.iter().map(CallSid::as_str).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    let read = |sid: &String| {
        CallSid::parse(sid).map_err(|error| LedgerError::unreadable("a call's sid", error))
    };
    rows.iter().map(read).collect()
}
