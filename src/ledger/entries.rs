//! The ledger as the wallet page lists it: the rows of a refill folded into one, and the evidence
//! of each call beside its row.
//!
//! Reads only. A call is found by its key, so that a page of rows costs a page of look-ups, however
//! many calls the account has.

use std::collections::HashMap;

use callmeter_core::domain::{CallSid, PaymentIntentId};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use super::call_key::CallKey;
use super::error::LedgerError;
use super::history::{
    self, COLUMNS, ChargedCall, Page, Stretch, Transaction, TransactionFilter, read_call,
    read_transaction,
};

/// Days that refused calls are counted.
pub const DENIAL_DAYS: i64 = 30;

/// A row of the page, and the call that it charges.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The row.
    pub transaction: Transaction,
    /// The charge of a call, if it is one.
    pub charge: Option<Evidence>,
}

/// A charged call with all that its price rests on.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the columns are documented in the schema")]
pub struct Evidence {
    pub call: ChargedCall,
    pub charged_at: DateTime<Utc>,
    pub twilio_minutes: Option<i32>,
    pub allowance_before_seconds: i64,
    pub matched_prefix: Option<String>,
    pub catalog_version: i32,
    pub topic: Option<String>,
    pub partition: Option<i32>,
    pub record_offset: i64,
}

/// A pending row whose outcome is written is left out: the outcome stands for both.
const FOLDED: &str = "NOT (t.status = 'pending' AND EXISTS (
    SELECT FROM transactions AS o WHERE o.account_key = t.account_key
        AND o.refers_to = t.sequence AND o.kind = t.kind))";

const CHARGE_COLUMNS: &str = "c.account_key, c.charge_sequence, c.call_sid, c.parent_call_sid,
    nullif(c.call_from, '') AS call_from, nullif(c.call_to, '') AS call_to, c.direction,
    c.started_at, c.seconds, c.billed_seconds, c.allowance_seconds, c.wallet_seconds,
    c.rate_micros, c.amount_micros, c.plan, c.cycle_start, c.tag, c.transaction_sequence,
    c.charged_at, c.twilio_minutes, c.allowance_before_seconds,
    nullif(c.matched_prefix, '') AS matched_prefix, c.catalog_version, c.record_offset,
    o.topic, o.partition";

/// Lists rows of an account, newest first; `from` and `to` apply to their commit time.
///
/// # Errors
/// If Postgres fails, or holds a value that cannot be read.
pub async fn entries(
    connection: &mut PgConnection,
    account_key: i32,
    filter: &TransactionFilter,
    stretch: &Stretch,
) -> Result<Page<Entry>, LedgerError> {
    let found = history::listed(connection, account_key, filter, stretch, FOLDED).await?;
    let (items, next) = (found.items, found.next);
    Ok(Page { items: with_charges(connection, account_key, items).await?, next })
}

/// The rows of a payment, newest first: of its refill, its refunds and its disputes.
///
/// # Errors
/// If Postgres fails, or holds a value that cannot be read.
pub async fn entries_of_payment(
    connection: &mut PgConnection,
    account_key: i32,
    payment: &PaymentIntentId,
) -> Result<Vec<Entry>, LedgerError> {
    let statement = format!(
        "/* entries::entries_of_payment */
         WITH RECURSIVE found AS (
             SELECT n.sequence FROM refills AS r
                 CROSS JOIN LATERAL (VALUES (r.pending_sequence), (r.outcome_sequence)) AS n (sequence)
             WHERE r.account_key = $1 AND r.payment_intent = $2 AND n.sequence IS NOT NULL
             UNION
             SELECT t.sequence FROM found AS f
                 JOIN transactions AS t ON t.account_key = $1 AND t.refers_to = f.sequence)
         SELECT {COLUMNS} FROM transactions AS t
         WHERE t.account_key = $1 AND t.sequence IN (SELECT sequence FROM found) AND {FOLDED}
         ORDER BY t.sequence DESC"
    );
    let rows = sqlx::query(&statement)
        .bind(account_key)
        .bind(payment.as_str())
        .fetch_all(connection)
        .await?;
    let items = rows.iter().map(read_transaction).collect::<Result<Vec<_>, _>>()?;
    Ok(items.into_iter().map(|transaction| Entry { transaction, charge: None }).collect())
}

/// The charge of a call, and its row if it cost money; several if Twilio accounts of the account
/// share a `CallSid`.
///
/// # Errors
/// If Postgres fails, or holds a value that cannot be read.
pub async fn charges_of_call(
    connection: &mut PgConnection,
    account_key: i32,
    call_sid: &CallSid,
) -> Result<Vec<(Evidence, Option<Transaction>)>, LedgerError> {
    let charges = charges(connection, account_key, &[call_sid], None).await?;
    let mut found = Vec::with_capacity(charges.len());
    for charge in charges {
        let row = match charge.call.transaction_sequence {
            Some(sequence) => {
                super::history::transaction(connection, account_key, sequence).await?
            }
            None => None,
        };
        found.push((charge, row));
    }
    Ok(found)
}

/// Refused calls of the last 30 UTC days, by reason, most first.
///
/// # Errors
/// If Postgres fails.
pub async fn denials(
    connection: &mut PgConnection,
    account_key: i32,
    now: DateTime<Utc>,
) -> Result<Vec<(String, i64)>, LedgerError> {
    let since: NaiveDate = (now - TimeDelta::days(DENIAL_DAYS)).date_naive();
    let rows = sqlx::query_as(
        "/* entries::denials */
         SELECT reason, sum(denials)::bigint FROM denial_counts
         WHERE account_key = $1 AND day >= $2 GROUP BY reason ORDER BY 2 DESC, 1",
    )
    .bind(account_key)
    .bind(since)
    .fetch_all(connection)
    .await?;
    Ok(rows)
}

async fn with_charges(
    connection: &mut PgConnection,
    account_key: i32,
    rows: Vec<Transaction>,
) -> Result<Vec<Entry>, LedgerError> {
    let sids: Vec<CallSid> = rows
        .iter()
        .filter_map(|row| row.call_sid.as_deref())
        .filter_map(|sid| CallSid::parse(sid).ok())
        .collect();
    let times = rows.iter().filter(|row| row.call_sid.is_some()).map(|row| row.at);
    let between = times.clone().min().zip(times.max());
    let sids: Vec<&CallSid> = sids.iter().collect();
    let found = charges(connection, account_key, &sids, between).await?;
    let by_row = found.into_iter().filter_map(|it| Some((it.call.transaction_sequence?, it)));
    let mut by_row: HashMap<i64, Evidence> = by_row.collect();
    let entry = |transaction: Transaction| Entry {
        charge: by_row.remove(&transaction.sequence),
        transaction,
    };
    Ok(rows.into_iter().map(entry).collect())
}

/// The charges of calls; those charged between two times are looked for in their months alone.
async fn charges(
    connection: &mut PgConnection,
    account_key: i32,
    sids: &[&CallSid],
    between: Option<(DateTime<Utc>, DateTime<Utc>)>,
) -> Result<Vec<Evidence>, LedgerError> {
    if sids.is_empty() {
        return Ok(Vec::new());
    }
    let keys: Vec<CallKey> = sids.iter().map(|sid| CallKey::new(sid)).collect();
    let keys: Vec<&[u8]> = keys.iter().map(CallKey::as_bytes).collect();
    let statement = format!(
        "/* entries::charges */ SELECT {CHARGE_COLUMNS}
         FROM unnest($2::bytea[]) AS n (call_key)
         JOIN twilio_accounts AS a ON a.account_key = $1
         JOIN call_keys AS k ON k.account_key = $1
             AND k.twilio_account_key = a.twilio_account_key AND k.call_key = n.call_key
         JOIN charges AS c ON c.account_key = $1 AND c.charge_sequence = k.charge_sequence
             AND c.charged_at >= coalesce($3, '-infinity')
             AND c.charged_at <= coalesce($4, 'infinity')
         LEFT JOIN partition_offsets AS o ON o.stream_key = c.stream_key"
    );
    let rows = sqlx::query(&statement)
        .bind(account_key)
        .bind(keys)
        .bind(between.map(|(from, _)| from))
        .bind(between.map(|(_, to)| to))
        .fetch_all(connection)
        .await?;
    rows.iter().map(read_evidence).collect()
}

fn read_evidence(row: &PgRow) -> Result<Evidence, LedgerError> {
    Ok(Evidence {
        call: read_call(row)?,
        charged_at: row.try_get("charged_at")?,
        twilio_minutes: row.try_get("twilio_minutes")?,
        allowance_before_seconds: row.try_get("allowance_before_seconds")?,
        matched_prefix: row.try_get("matched_prefix")?,
        catalog_version: row.try_get("catalog_version")?,
        topic: row.try_get("topic")?,
        partition: row.try_get("partition")?,
        record_offset: row.try_get("record_offset")?,
    })
}
