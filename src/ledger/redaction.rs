//! Redaction: removes phone numbers and names, after their retention or for one account at once.
//!
//! The database allows its append-only rows to lose exactly these values (migration `blanking`,
//! which also has the retention statement). Amounts and matched prefixes stay, so every charge can
//! still be rated again.

use callmeter_core::domain::AccountId;
use chrono::{DateTime, TimeDelta, Utc};
use futures::FutureExt as _;
use serde_json::json;
use sqlx::PgConnection;

use super::accounts;
use super::audit::{self, Action, AuditEntry, By};
use super::error::{LedgerError, Refusable};
use super::payments::cards;
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

/// Why an account cannot be redacted yet. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotRedacted {
    /// There is no such account.
    #[error("there is no such account")]
    UnknownAccount,
    /// A payment is in progress, or the customer disputes one.
    #[error("a refill, a refund or a dispute is open; wait until it is closed")]
    OpenPayment,
    /// The last payment is too young: it may still be disputed.
    #[error("its last payment may still be disputed; it can be redacted from {from} on")]
    YoungPayment {
        /// When the account can be redacted.
        from: DateTime<Utc>,
    },
    /// It has a customer at Stripe, who must be deleted first.
    #[error("its customer at Stripe is not deleted")]
    CustomerKept,
}

/// Checks whether an account may be redacted: no payment is open, and the last one is older than
/// `wait`. Returns its key.
///
/// # Errors
/// If Postgres fails.
pub async fn check(
    connection: &mut PgConnection,
    id: &AccountId,
    wait: TimeDelta,
    now: DateTime<Utc>,
) -> Result<Result<i32, NotRedacted>, LedgerError> {
    let Some(account_key) = accounts::key_of(connection, id).await? else {
        return Ok(Err(NotRedacted::UnknownAccount));
    };
    let (is_open, last_at): (bool, Option<DateTime<Utc>>) = sqlx::query_as(
        "-- redaction::check
         SELECT EXISTS (SELECT FROM refills WHERE account_key = $1 AND finished_at IS NULL)
             OR EXISTS (SELECT FROM refunds WHERE account_key = $1 AND finished_at IS NULL)
             OR EXISTS (SELECT FROM disputes WHERE account_key = $1 AND closed_at IS NULL),
             (SELECT max(finished_at) FROM refills WHERE account_key = $1 AND status = 'completed')",
    )
    .bind(account_key)
    .fetch_one(connection)
    .await?;
    if is_open {
        return Ok(Err(NotRedacted::OpenPayment));
    }
    let from = last_at.map(|last_at| last_at + wait).filter(|from| *from > now);
    Ok(from.map_or(Ok(account_key), |from| Err(NotRedacted::YoungPayment { from })))
}

/// Redacts an account's name, address and numbers in all tables but its charges; returns the number
/// of its last charge, for [`blank_charges`]. `customer_gone`: Stripe has no customer of it any more.
///
/// # Errors
/// If Postgres fails, or holds a value that cannot be read.
pub async fn redact(
    connection: &mut PgConnection,
    id: &AccountId,
    (wait, customer_gone): (TimeDelta, bool),
    by: &By,
) -> Refusable<Redacted, NotRedacted> {
    let Some(head) = accounts::lock(connection, id).await? else {
        return Ok(Err(NotRedacted::UnknownAccount));
    };
    if let Err(refusal) = check(connection, id, wait, by.at).await? {
        return Ok(Err(refusal));
    }
    let account_key = head.account_key;
    if !customer_gone && cards::customer(connection, account_key).await?.is_some() {
        return Ok(Err(NotRedacted::CustomerKept));
    }
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
    Ok(Ok(Redacted { account_key, last_charge }))
}

/// An account whose charges are still to be redacted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redacted {
    account_key: i32,
    last_charge: i64,
}

/// The parameters of each: the account's key, the replacement of its name, and its id.
const STATEMENTS: [&str; 13] = [
    "-- redaction::redact, account
     UPDATE accounts SET name = $2, email = NULL WHERE account_key = $1 AND id = $3",
    "-- redaction::redact, transactions
     UPDATE transactions SET description = without_numbers(description)
     WHERE account_key = $1 AND description ~ '\\+[0-9]{7,15}' AND $2 <> $3",
    "-- redaction::redact, rents
     UPDATE rental_periods SET phone_number = ''
     WHERE account_key = $1 AND phone_number <> '' AND $2 <> $3",
    // A number that is still rented is needed to look it up and to give it back.
    "-- redaction::redact, numbers
     UPDATE numbers SET phone_number = ''
     WHERE account_key = $1 AND status IN ('released', 'failed') AND $2 <> $3",
    "-- redaction::redact, events about numbers
     UPDATE outbox SET data = data || '{\"phone_number\": null}'
     WHERE account_key = $1 AND data ? 'phone_number' AND $2 <> $3",
    // Readable rejects name a Twilio account in a column; unreadable ones may name it in their
    // bytes.
    "-- redaction::redact, rejects
     UPDATE rejects SET record_key = NULL, record_value = NULL, detail = ''
     WHERE $2 <> $3 AND EXISTS (
         SELECT FROM twilio_accounts AS t
         WHERE t.account_key = $1 AND (rejects.twilio_account_sid = t.twilio_account_sid
             OR record_key = convert_to(t.twilio_account_sid, 'UTF8')
             OR position(convert_to(t.twilio_account_sid, 'UTF8') IN record_value) > 0))",
    "-- redaction::redact, events
     UPDATE outbox SET data = CASE WHEN data ? 'payment_method'
         THEN jsonb_set(data - 'link', '{payment_method}', 'null') ELSE data - 'link' END
     WHERE account_key = $1 AND data IS NOT NULL AND $2 <> $3",
    "-- redaction::redact, consents
     UPDATE auto_refill_consents SET address = NULL, sentence = $2,
         settings = settings - 'payment_method' WHERE account_key = $1 AND $2 <> $3",
    "-- redaction::redact, refills
     UPDATE refills SET card = NULL, return_url = NULL, receipt_email = NULL
     WHERE account_key = $1 AND $2 <> $3",
    "-- redaction::redact, cards
     DELETE FROM payment_methods WHERE account_key = $1 AND $2 <> $3",
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
