//! Redaction: removes phone numbers and names, after their retention or for one account at once.
//!
//! The database allows its append-only rows to lose exactly these values (migration `blanking`,
//! which also has the retention statement). Amounts and matched prefixes stay, so every charge can
//! still be rated again.

use callmeter_core::domain::AccountId;
use chrono::{DateTime, Utc};
use futures::FutureExt as _;
use serde_json::json;
use sqlx::PgConnection;

use super::accounts;
use super::audit::{self, Action, AuditEntry, By};
use super::error::LedgerError;
use super::store::{Store, StoreError};

/// Rows of each table examined in one step.
const ROWS_MAX: i32 = 8_192;
/// Charges of an account redacted in one step.
const CHARGES_MAX: i64 = 5_000;

/// Replaces the name of a redacted account.
pub const NO_NAME: &str = "(redacted)";

/// Redacts some rows older than `before`; returns whether more may be left. Safe to repeat.
///
/// # Errors
/// If Postgres is unavailable or refuses the statement.
pub async fn blank_before(store: &Store, before: DateTime<Utc>) -> Result<bool, StoreError> {
    let blanked = store.transact("redaction::blank_before", move |connection| {
        let statement = "/* redaction::blank_before */ SELECT blank_before($1, $2)";
        let more = sqlx::query_scalar(statement).bind(before).bind(ROWS_MAX);
        async move { Ok(more.fetch_one(connection).await?) }.boxed()
    });
    blanked.await
}

/// Redacts an account's name, address and numbers in all tables but its charges; returns the number
/// of its last charge, for [`blank_charges`]. `None`: there is no such account.
///
/// # Errors
/// If Postgres fails, or holds a value that cannot be read.
pub async fn redact(
    connection: &mut PgConnection,
    id: &AccountId,
    by: &By,
) -> Result<Option<Redacted>, LedgerError> {
    let Some(head) = accounts::lock(connection, id).await? else { return Ok(None) };
    let account_key = head.account_key;
    let (name, email): (String, Option<String>) = sqlx::query_as(
        "-- redaction::redact, as it was
         SELECT name, email FROM accounts WHERE account_key = $1",
    )
    .bind(account_key)
    .fetch_one(&mut *connection)
    .await?;
    for statement in STATEMENTS {
        sqlx::query(statement)
            .bind(account_key)
            .bind(NO_NAME)
            .bind(id.as_str())
            .execute(&mut *connection)
            .await?;
    }
    let masked = |text: &str| if text == NO_NAME { text.to_owned() } else { audit::masked(text) };
    let entry = AuditEntry {
        action: Action::AccountRedacted,
        account_key: Some(account_key),
        subject: id.to_string(),
        before: json!({ "name": masked(&name), "email": email.as_deref().map(audit::masked) }),
        after: json!({ "name": NO_NAME, "email": null }),
    };
    audit::note(connection, by, &entry).await?;
    let last_charge: i64 = sqlx::query_scalar(
        "-- redaction::redact, last charge
         SELECT charge_sequence FROM wallets WHERE account_key = $1",
    )
    .bind(account_key)
    .fetch_one(connection)
    .await?;
    Ok(Some(Redacted { account_key, last_charge }))
}

/// An account whose charges are still to be redacted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redacted {
    account_key: i32,
    last_charge: i64,
}

/// The parameters of each: the account's key, the replacement of its name, and its id.
const STATEMENTS: [&str; 7] = [
    "-- redaction::redact, account
     UPDATE accounts SET name = $2, email = NULL WHERE account_key = $1 AND id = $3",
    "-- redaction::redact, transactions
     UPDATE transactions SET description = without_numbers(description)
     WHERE account_key = $1 AND description ~ '\\+[0-9]{7,15}' AND $2 <> $3",
    "-- redaction::redact, rents
     UPDATE rental_periods SET phone_number = ''
     WHERE account_key = $1 AND phone_number <> '' AND $2 <> $3",
    // Readable rejects name a Twilio account in a column; unreadable ones may name it in their
    // bytes.
    "-- redaction::redact, rejects
     UPDATE rejects SET record_key = NULL, record_value = NULL, detail = ''
     WHERE $2 <> $3 AND EXISTS (
         SELECT FROM twilio_accounts AS t
         WHERE t.account_key = $1 AND (rejects.twilio_account_sid = t.twilio_account_sid
             OR record_key = convert_to(t.twilio_account_sid, 'UTF8')
             OR position(convert_to(t.twilio_account_sid, 'UTF8') IN record_value) > 0))",
    // What receivers of web hooks answered.
    "/* redaction::redact, web hooks */
     UPDATE webhook_deliveries AS d SET answer = NULL FROM outbox AS o
     WHERE o.event_number = d.event_number AND o.account_key = $1 AND d.answer IS NOT NULL
       AND $2 <> $3",
    "/* redaction::redact, mail */
     DELETE FROM mail_unsubscriptions WHERE account_key = $1 AND $2 <> $3",
    // Stored answers, kept for a day.
    "-- redaction::redact, answers
     UPDATE idempotency_keys SET response = CASE WHEN response NOT LIKE '{%' THEN response ELSE (
         response::jsonb
         || CASE WHEN response::jsonb ? 'name' THEN jsonb_build_object('name', $2::text) ELSE '{}' END
         || CASE WHEN response::jsonb ? 'email' THEN '{\"email\": null}' ELSE '{}'::jsonb END
         || CASE WHEN response::jsonb ? 'description'
             THEN jsonb_build_object('description', without_numbers(response::jsonb ->> 'description'))
             ELSE '{}' END)::text END
     WHERE $1 = $1 AND (path = '/v1/accounts/' || $3 OR starts_with(path, '/v1/accounts/' || $3 || '/')
         OR path = '/v1/accounts' AND CASE WHEN response LIKE '{%'
             THEN response::jsonb ->> 'id' = $3 ELSE false END)",
];

/// Redacts the numbers in some of an account's charges; returns how many.
///
/// # Errors
/// If Postgres is unavailable or refuses it. What is redacted stays so; run it again.
pub async fn blank_charges(store: &Store, redacted: Redacted) -> Result<i64, StoreError> {
    let mut blanked = 0;
    let mut from = 1;
    while from <= redacted.last_charge {
        let page = store.transact("redaction::blank_charges", move |connection| {
            let count = sqlx::query_scalar(
                "-- redaction::blank_charges
                 SELECT blank_charges_of_account($1, $2, $3)",
            )
            .bind(redacted.account_key)
            .bind(from)
            .bind(from + CHARGES_MAX - 1);
            async move { Ok::<i64, StoreError>(count.fetch_one(connection).await?) }.boxed()
        });
        blanked += page.await?;
        from += CHARGES_MAX;
    }
    Ok(blanked)
}
