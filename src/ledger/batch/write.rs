//! Phase 4: writes a batch's rows and moves the partition's offset.

use chrono::{DateTime, Datelike as _, Utc};
use sqlx::PgConnection;

use super::rows::{RejectRow, Rows, StillRejected};
use super::{CommitError, Source};
use crate::ingest::batch::Batch;
use crate::ledger::copy::CopyRows;
use crate::ledger::offsets::{self, Advanced, Stream};
use crate::ledger::partitions;
use crate::ledger::store::StoreError;

/// Behind the name of the table.
const COPY_CHARGES: &str = " (
    account_key, twilio_account_key, charge_sequence, charged_at, started_at, cycle_start,
    subscription_id, allowance_before_seconds, rate_micros, amount_micros, overshoot_micros,
    transaction_sequence, record_offset, stream_key, catalog_version, seconds, twilio_minutes,
    billed_seconds, allowance_seconds, wallet_seconds, call_sid, parent_call_sid, call_from,
    call_to, direction, matched_prefix, plan, tag) FROM STDIN BINARY";
const COPY_CALL_KEYS: &str = "/* commit_batch: call_keys */ COPY call_keys (
    account_key, twilio_account_key, seconds, charge_sequence, call_key) FROM STDIN BINARY";
const COPY_TRANSACTIONS: &str = "/* commit_batch: transactions */ COPY transactions (
    account_key, sequence, at, amount_micros, balance_before_micros, balance_after_micros, type,
    kind, status, description, call_sid) FROM STDIN BINARY";

pub(super) async fn write(
    connection: &mut PgConnection,
    source: Source<'_>,
    batch: &Batch,
    rows: Rows<'_>,
    now: DateTime<Utc>,
) -> Result<(), CommitError> {
    // First, because Postgres may refuse them.
    write_call_keys(connection, &rows).await?;
    write_charges(connection, source.stream(), &rows).await?;
    write_transactions(connection, &rows).await?;
    write_wallets(connection, &rows).await?;
    write_cycles(connection, &rows).await?;
    write_rentals(connection, &rows).await?;
    write_rejects(connection, source.stream(), &rows.rejects, now).await?;
    write_replayed(connection, &rows, now).await?;
    rows.crossings.write(connection, now).await?;
    if let Source::Partition(stream) = source {
        let advanced = offsets::advance(connection, stream, batch, now).await?;
        if let Advanced::Expected(expected) = advanced {
            return Err(CommitError::OffsetMoved { expected });
        }
    }
    Ok(())
}

async fn write_charges(
    connection: &mut PgConnection,
    stream: &Stream,
    rows: &Rows<'_>,
) -> Result<(), StoreError> {
    if rows.charges.is_empty() {
        return Ok(());
    }
    let statement =
        format!("/* commit_batch: charges */ COPY {}{COPY_CHARGES}", charges_table(rows));
    let mut charges = CopyRows::begin(connection, &statement, 28).await?;
    for row in rows.charges_by_account() {
        let (call, price) = (row.call, &row.price);
        let allowance_before = i64::try_from(price.allowance_before_seconds).unwrap_or(i64::MAX);
        charges
            .row()
            .int4(row.owner.account_key)
            .int4(row.owner.twilio_account_key)
            .int8(row.charge_sequence)
            .instant(row.charged_at)
            .instant(row.started_at)
            .optional(row.cycle_start, |copy, start| copy.instant(start))
            .optional(row.subscription, |copy, id| copy.int8(id.0))
            .int8(allowance_before)
            .int8(price.rate.micros())
            .money(price.amount)
            .money(row.overshoot)
            .optional(row.transaction_sequence, |copy, sequence| copy.int8(sequence))
            .int8(row.record_offset)
            .int4(stream.stream_key)
            .int4(row.catalog_version)
            .int4(seconds(call.seconds))
            .optional(call.twilio_minutes, |copy, minutes| copy.int4(seconds(minutes)))
            .int4(seconds(price.billed_seconds))
            .int4(seconds(price.allowance_seconds))
            .int4(seconds(price.wallet_seconds))
            .text(call.call_sid.as_str());
        for text in
            [&call.parent_call_sid, &call.from, &call.to, &call.direction, &price.matched_prefix]
        {
            charges.optional(text.as_deref(), |copy, text| copy.text(text));
        }
        charges.optional(row.plan, |copy, plan| copy.text(plan.as_str()));
        charges.optional(row.tag, |copy, tag| copy.text(tag));
        charges.send().await?;
    }
    charges.finish().await
}

/// The partition of all charges, or the whole table if they are of several months: Postgres need not
/// find the partition of each row.
fn charges_table(rows: &Rows<'_>) -> String {
    let months = rows.charges.iter().map(|row| (row.charged_at.year(), row.charged_at.month()));
    match (months.clone().min(), months.max()) {
        (Some(first), Some(last)) if first == last => partitions::name_of(first),
        _ => "charges".to_owned(),
    }
}

async fn write_call_keys(connection: &mut PgConnection, rows: &Rows<'_>) -> Result<(), StoreError> {
    if rows.charges.is_empty() {
        return Ok(());
    }
    let mut call_keys = CopyRows::begin(connection, COPY_CALL_KEYS, 5).await?;
    for row in rows.charges_by_call() {
        call_keys
            .row()
            .int4(row.owner.account_key)
            .int4(row.owner.twilio_account_key)
            .int4(seconds(row.call.seconds))
            .int8(row.charge_sequence)
            .bytes(row.call_key.as_bytes());
        call_keys.send().await?;
    }
    call_keys.finish().await
}

async fn write_transactions(
    connection: &mut PgConnection,
    rows: &Rows<'_>,
) -> Result<(), StoreError> {
    if rows.transactions.is_empty() {
        return Ok(());
    }
    let mut transactions = CopyRows::begin(connection, COPY_TRANSACTIONS, 11).await?;
    for row in rows.transactions_by_account() {
        transactions
            .row()
            .int4(row.account_key)
            .int8(row.sequence)
            .instant(row.at)
            .money(row.amount)
            .money(row.balance_before)
            .money(row.balance_after)
            .text(row.kind.transaction_type().as_str())
            .text(row.kind.as_str())
            .text(row.status.as_str())
            .optional(row.description.as_deref(), |copy, text| copy.text(text))
            .optional(row.call_sid, |copy, sid| copy.text(sid));
        transactions.send().await?;
    }
    transactions.finish().await
}

async fn write_wallets(connection: &mut PgConnection, rows: &Rows<'_>) -> Result<(), StoreError> {
    if rows.wallets.is_empty() {
        return Ok(());
    }
    let wallets = &rows.wallets;
    let updated = sqlx::query(
        "/* commit_batch: wallets */
         UPDATE wallets w
            SET balance_micros = new.balance_micros, sequence = new.sequence,
                charge_sequence = new.charge_sequence, version = new.version, last_at = new.last_at,
                spent_micros = new.spent_micros, spending_ends_at = new.spending_ends_at,
                spent_sequence = new.sequence
           FROM unnest($1::integer[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[],
                       $6::timestamptz[], $7::bigint[], $8::timestamptz[])
                AS new (account_key, balance_micros, sequence, charge_sequence, version, last_at,
                        spent_micros, spending_ends_at)
          WHERE w.account_key = new.account_key",
    )
    .bind(wallets.iter().map(|head| head.account_key).collect::<Vec<_>>())
    .bind(wallets.iter().map(|head| head.balance.micros()).collect::<Vec<_>>())
    .bind(wallets.iter().map(|head| head.sequence).collect::<Vec<_>>())
    .bind(wallets.iter().map(|head| head.charge_sequence).collect::<Vec<_>>())
    .bind(wallets.iter().map(|head| head.version).collect::<Vec<_>>())
    .bind(wallets.iter().map(|head| head.last_at).collect::<Vec<_>>())
    .bind(wallets.iter().map(|head| head.watched.spending.spent.micros()).collect::<Vec<_>>())
    .bind(wallets.iter().map(|head| head.watched.spending.ends_at).collect::<Vec<_>>())
    .execute(connection)
    .await?
    .rows_affected();
    // They are locked, so each exists.
    if usize::try_from(updated) != Ok(wallets.len()) {
        return Err(StoreError::Refused(sqlx::Error::RowNotFound));
    }
    Ok(())
}

async fn write_cycles(connection: &mut PgConnection, rows: &Rows<'_>) -> Result<(), StoreError> {
    if rows.cycles.is_empty() {
        return Ok(());
    }
    let cycles = &rows.cycles;
    let used = |(_, used): &(_, u64)| i64::try_from(*used).unwrap_or(i64::MAX);
    sqlx::query(
        "/* commit_batch: cycles */
         INSERT INTO cycles (account_key, subscription_id, cycle_start, used_seconds)
         SELECT * FROM unnest($1::integer[], $2::bigint[], $3::timestamptz[], $4::bigint[])
             ON CONFLICT ON CONSTRAINT cycles_pk DO UPDATE SET used_seconds = EXCLUDED.used_seconds",
    )
    .bind(cycles.iter().map(|(key, _)| key.0).collect::<Vec<_>>())
    .bind(cycles.iter().map(|(key, _)| key.1.0).collect::<Vec<_>>())
    .bind(cycles.iter().map(|(key, _)| key.2).collect::<Vec<_>>())
    .bind(cycles.iter().map(used).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

async fn write_rentals(connection: &mut PgConnection, rows: &Rows<'_>) -> Result<(), StoreError> {
    for row in &rows.rentals {
        sqlx::query(
            "/* commit_batch: rentals */
             INSERT INTO rental_periods (account_key, phone_number_sid, period_start, phone_number,
                    country, number_type, price_micros, status, attempts, first_attempt_at,
                    next_attempt_at, first_sequence, paid_sequence)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 1, $9, $10, $11, $12)",
        )
        .bind(row.account_key)
        .bind(row.rental.phone_number_sid.as_str())
        .bind(row.rental.period_start)
        .bind(row.rental.phone_number.as_deref())
        .bind(row.rental.country.as_deref())
        .bind(row.rental.number_type.as_deref())
        .bind(row.price.micros())
        .bind(if row.is_paid { "paid" } else { "failed" })
        .bind(row.attempted_at)
        .bind(row.next_attempt_at)
        .bind(row.sequence)
        .bind(row.sequence.filter(|_| row.is_paid))
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

async fn write_rejects(
    connection: &mut PgConnection,
    stream: &Stream,
    rejects: &[RejectRow<'_>],
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    if rejects.is_empty() {
        return Ok(());
    }
    // By key: every batch locks the rows whose count it raises in the same order.
    let mut rejects: Vec<&RejectRow<'_>> = rejects.iter().collect();
    rejects.sort_by(|a, b| a.conflict_key.cmp(&b.conflict_key));
    sqlx::query(
        "/* commit_batch: rejects */
         INSERT INTO rejects (topic, partition, rejected_at, record_offset, record_at, reason, detail,
                              conflict_key, count, record_key, record_value, record_bytes,
                              twilio_account_sid, call_sid)
         SELECT $1, $2, $3, new.*
           FROM unnest($4::bigint[], $5::timestamptz[], $6::text[], $7::text[], $8::bytea[],
                       $9::bigint[], $10::bytea[], $11::bytea[], $12::integer[], $13::text[],
                       $14::text[]) AS new
             ON CONFLICT (conflict_key) WHERE conflict_key IS NOT NULL
             DO UPDATE SET count = rejects.count + EXCLUDED.count",
    )
    .bind(&stream.topic)
    .bind(stream.partition)
    .bind(now)
    .bind(rejects.iter().map(|row| row.record_offset).collect::<Vec<_>>())
    .bind(rejects.iter().map(|row| row.record_at).collect::<Vec<_>>())
    .bind(rejects.iter().map(|row| row.reason.as_str()).collect::<Vec<_>>())
    .bind(rejects.iter().map(|row| row.detail.as_str()).collect::<Vec<_>>())
    .bind(rejects.iter().map(|row| row.conflict_key.as_deref().map(str::as_bytes)).collect::<Vec<_>>())
    .bind(rejects.iter().map(|row| row.count).collect::<Vec<_>>())
    .bind(rejects.iter().map(|row| row.key).collect::<Vec<_>>())
    .bind(rejects.iter().map(|row| row.value).collect::<Vec<_>>())
    .bind(rejects.iter().map(|row| row.value_bytes).collect::<Vec<_>>())
    .bind(rejects.iter().map(|row| row.account_sid()).collect::<Vec<_>>())
    .bind(rejects.iter().map(|row| row.call_sid()).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

async fn write_replayed(
    connection: &mut PgConnection,
    rows: &Rows<'_>,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    if !rows.replayed.is_empty() {
        sqlx::query(
            "/* commit_batch: replayed */
             UPDATE rejects SET replayed_at = $2 WHERE reject_id = ANY($1) AND replayed_at IS NULL",
        )
        .bind(&rows.replayed)
        .bind(now)
        .execute(&mut *connection)
        .await?;
    }
    let mut still_rejected: Vec<&StillRejected> = rows.still_rejected.iter().collect();
    still_rejected.sort_by(|a, b| a.conflict_key.cmp(&b.conflict_key));
    for still in still_rejected {
        write_still_rejected(connection, still, now).await?;
    }
    Ok(())
}

/// Updates why a record stays rejected. If it turned out to be a conflict, the row of that conflict
/// counts it and the record is settled; if there is no such row, its own row becomes that row.
async fn write_still_rejected(
    connection: &mut PgConnection,
    still: &StillRejected,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    sqlx::query(
        "/* commit_batch: still rejected */
         WITH counted AS (
             UPDATE rejects kept SET count = kept.count + came.count
               FROM rejects came
              WHERE came.reject_id = $1 AND came.replayed_at IS NULL
                AND kept.conflict_key = $4 AND kept.reject_id <> $1
             RETURNING $5::timestamptz AS at
         )
         UPDATE rejects
            SET reason = $2, detail = $3, replayed_at = (SELECT at FROM counted),
                conflict_key = CASE WHEN EXISTS (SELECT FROM counted) THEN conflict_key ELSE $4 END
          WHERE reject_id = $1 AND replayed_at IS NULL",
    )
    .bind(still.id)
    .bind(still.reason.as_str())
    .bind(&still.detail)
    .bind(still.conflict_key.as_deref().map(str::as_bytes))
    .bind(now)
    .execute(connection)
    .await?;
    Ok(())
}

/// Seconds (or minutes) as Postgres's `integer`; a call lasts at most a day.
fn seconds(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}
