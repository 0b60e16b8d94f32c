//! Adds rows of the ledger to the sums, a limited number at a time.
//!
//! Each row is added once, whatever dies when and however many processes add: the sums and the
//! progress change in one transaction, under the lock of the account's progress. A process leaves
//! out accounts that another one has locked.

use futures::FutureExt;
use sqlx::{PgConnection, Row};

use super::{spending, usage};
use crate::ledger::error::LedgerError;
use crate::ledger::store::{Store, StoreError};

/// Accounts of one transaction.
const ACCOUNTS_MAX: i64 = 100;
/// Most transactions and most charges of one account in one transaction.
const ROWS_MAX: i64 = 2_000;

/// What one transaction added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Folded {
    /// The last account.
    pub last_account_key: i32,
    /// Rows of the ledger.
    pub rows: i64,
    /// True if an account has more rows than one transaction adds.
    pub is_behind: bool,
}

/// Lets new accounts have sums. Call it before the first [`fold`].
///
/// # Errors
/// If Postgres is unavailable or refuses the statement.
pub async fn begin(store: &Store) -> Result<(), StoreError> {
    let statement = || {
        sqlx::query(
            "/* insights::begin */
             INSERT INTO insight_progress (account_key)
             SELECT account_key FROM wallets
             WHERE (sequence > 0 OR charge_sequence > 0) AND NOT EXISTS (
                 SELECT FROM insight_progress AS p WHERE p.account_key = wallets.account_key)
             ORDER BY account_key
             ON CONFLICT ON CONSTRAINT insight_progress_pk DO NOTHING",
        )
    };
    store.execute("insights::begin", statement).await?;
    Ok(())
}

/// Adds rows of the next accounts whose sums are behind, above a key; `None`: there are no more.
///
/// # Errors
/// If Postgres is unavailable or refuses a statement.
pub async fn fold(store: &Store, above: i32) -> Result<Option<Folded>, LedgerError> {
    store.transact("insights::fold", |connection| fold_once(connection, above).boxed()).await
}

/// The accounts of one transaction, and their rows, by place.
#[derive(Debug, Default)]
struct Ranges {
    account_keys: Vec<i32>,
    transactions_above: Vec<i64>,
    transactions_to: Vec<i64>,
    charges_above: Vec<i64>,
    charges_to: Vec<i64>,
}

async fn fold_once(
    connection: &mut PgConnection,
    above: i32,
) -> Result<Option<Folded>, LedgerError> {
    let (ranges, is_behind) = lock(connection, above).await?;
    let Some(last_account_key) = ranges.account_keys.last().copied() else { return Ok(None) };
    // The rows of an account are a range of an index, however the tables have grown since Postgres
    // last looked at them.
    sqlx::query(
        "/* insights::fold */
         SELECT set_config('enable_seqscan', 'off', true), set_config('enable_hashjoin', 'off', true),
             set_config('enable_mergejoin', 'off', true)",
    )
    .execute(&mut *connection)
    .await?;
    fold_transactions(connection, &ranges).await?;
    fold_charges(connection, &ranges).await?;
    advance(connection, &ranges).await?;
    let rows =
        |above: &[i64], to: &[i64]| -> i64 { to.iter().sum::<i64>() - above.iter().sum::<i64>() };
    let rows = rows(&ranges.transactions_above, &ranges.transactions_to)
        + rows(&ranges.charges_above, &ranges.charges_to);
    Ok(Some(Folded { last_account_key, rows, is_behind }))
}

/// Locks the progress of accounts that are behind. A wallet counts a row in the transaction that
/// writes it, so every row up to its numbers is committed.
async fn lock(connection: &mut PgConnection, above: i32) -> Result<(Ranges, bool), LedgerError> {
    let rows = sqlx::query(
        "/* insights::lock */
         SELECT account_key, p.transaction_sequence, p.charge_sequence,
             greatest(p.transaction_sequence,
                 least(w.sequence, p.transaction_sequence + $3)) AS transactions_to,
             greatest(p.charge_sequence,
                 least(w.charge_sequence, p.charge_sequence + $3)) AS charges_to,
             w.sequence > p.transaction_sequence + $3
                 OR w.charge_sequence > p.charge_sequence + $3 AS is_behind
         FROM insight_progress AS p JOIN wallets AS w USING (account_key)
         WHERE account_key > $1
             AND (w.sequence > p.transaction_sequence OR w.charge_sequence > p.charge_sequence)
         ORDER BY account_key LIMIT $2
         FOR NO KEY UPDATE OF p SKIP LOCKED",
    )
    .bind(above)
    .bind(ACCOUNTS_MAX)
    .bind(ROWS_MAX)
    .fetch_all(connection)
    .await?;
    let (mut ranges, mut is_behind) = (Ranges::default(), false);
    for row in rows {
        ranges.account_keys.push(row.try_get("account_key")?);
        ranges.transactions_above.push(row.try_get("transaction_sequence")?);
        ranges.transactions_to.push(row.try_get("transactions_to")?);
        ranges.charges_above.push(row.try_get("charge_sequence")?);
        ranges.charges_to.push(row.try_get("charges_to")?);
        is_behind |= row.try_get::<bool, _>("is_behind")?;
    }
    Ok((ranges, is_behind))
}

async fn fold_transactions(
    connection: &mut PgConnection,
    ranges: &Ranges,
) -> Result<(), LedgerError> {
    sqlx::query(concat!(
        "/* insights::fold_transactions */
         INSERT INTO spending_days AS d (account_key, day, kind, amount_micros)
         SELECT r.account_key, t.day, t.kind, sum(t.micros)::bigint
         FROM unnest($1::integer[], $2::bigint[], $3::bigint[]) AS r (account_key, above, up_to)
         CROSS JOIN LATERAL (
             SELECT (at AT TIME ZONE 'UTC')::date AS day, kind, ",
        spending!(micros),
        " AS micros
             FROM transactions AS t
             WHERE t.account_key = r.account_key AND t.sequence > r.above
                 AND t.sequence <= r.up_to AND ",
        spending!(is_counted),
        ") AS t
         GROUP BY r.account_key, t.day, t.kind
         ON CONFLICT ON CONSTRAINT spending_days_pk DO UPDATE
         SET amount_micros = d.amount_micros + EXCLUDED.amount_micros"
    ))
    .bind(&ranges.account_keys)
    .bind(&ranges.transactions_above)
    .bind(&ranges.transactions_to)
    .execute(connection)
    .await?;
    Ok(())
}

async fn fold_charges(connection: &mut PgConnection, ranges: &Ranges) -> Result<(), LedgerError> {
    sqlx::query(concat!(
        "/* insights::fold_charges */
         WITH charged AS MATERIALIZED (
             SELECT c.*
             FROM unnest($1::integer[], $2::bigint[], $3::bigint[]) AS r (account_key, above, up_to)
             CROSS JOIN LATERAL (
                 SELECT c.account_key, ",
        usage!(),
        "
                 FROM charges AS c
                 WHERE c.account_key = r.account_key AND c.charge_sequence > r.above
                     AND c.charge_sequence <= r.up_to) AS c),
         days AS (
             INSERT INTO usage_days AS d (account_key, day, calls, seconds, talked_seconds,
                 billed_seconds, rounding_micros)
             SELECT account_key, day, count(*), sum(seconds), sum(talked_seconds),
                 sum(billed_seconds), sum(rounding_micros)::bigint
             FROM charged GROUP BY account_key, day
             ON CONFLICT ON CONSTRAINT usage_days_pk DO UPDATE
             SET calls = d.calls + EXCLUDED.calls, seconds = d.seconds + EXCLUDED.seconds,
                 talked_seconds = d.talked_seconds + EXCLUDED.talked_seconds,
                 billed_seconds = d.billed_seconds + EXCLUDED.billed_seconds,
                 rounding_micros = d.rounding_micros + EXCLUDED.rounding_micros)
         INSERT INTO usage_cycles AS u (account_key, subscription_id, cycle_start, calls,
             wallet_seconds, amount_micros)
         SELECT account_key, subscription_id, cycle_start, count(*), sum(wallet_seconds),
             sum(amount_micros)::bigint
         FROM charged WHERE subscription_id IS NOT NULL
         GROUP BY account_key, subscription_id, cycle_start
         ON CONFLICT ON CONSTRAINT usage_cycles_pk DO UPDATE
         SET calls = u.calls + EXCLUDED.calls,
             wallet_seconds = u.wallet_seconds + EXCLUDED.wallet_seconds,
             amount_micros = u.amount_micros + EXCLUDED.amount_micros"
    ))
    .bind(&ranges.account_keys)
    .bind(&ranges.charges_above)
    .bind(&ranges.charges_to)
    .execute(connection)
    .await?;
    Ok(())
}

async fn advance(connection: &mut PgConnection, ranges: &Ranges) -> Result<(), LedgerError> {
    sqlx::query(
        "/* insights::advance */
         UPDATE insight_progress AS p
         SET transaction_sequence = r.transactions, charge_sequence = r.charges
         FROM unnest($1::integer[], $2::bigint[], $3::bigint[])
             AS r (account_key, transactions, charges)
         WHERE p.account_key = r.account_key",
    )
    .bind(&ranges.account_keys)
    .bind(&ranges.transactions_to)
    .bind(&ranges.charges_to)
    .execute(connection)
    .await?;
    Ok(())
}

/// Empties the sums, so that they are added up again. Readers see exact figures meanwhile, but
/// slowly: they add up what is missing.
///
/// # Errors
/// If Postgres is unavailable or refuses a statement.
pub async fn empty(store: &Store) -> Result<(), LedgerError> {
    let emptied = store.transact("insights::empty", |connection| {
        async move {
            // The first statement waits for those that add, and keeps new ones out.
            for statement in [
                "/* insights::empty */ LOCK TABLE insight_progress IN EXCLUSIVE MODE",
                "/* insights::empty, days */ DELETE FROM spending_days",
                "/* insights::empty, usage */ DELETE FROM usage_days",
                "/* insights::empty, cycles */ DELETE FROM usage_cycles",
                "/* insights::empty, progress */ DELETE FROM insight_progress",
            ] {
                sqlx::query(statement).execute(&mut *connection).await?;
            }
            Ok(())
        }
        .boxed()
    });
    emptied.await
}
