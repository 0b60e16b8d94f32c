//! Estimates that name a tag, so that the campaign of that tag can be compared with them.
//!
//! No money moves by them.

use callmeter_core::domain::{Money, RatePerMinute, Share};
use callmeter_core::rating::{Estimate, Range};
use chrono::{DateTime, Utc};
use futures::FutureExt as _;
use serde::Serialize;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use super::error::LedgerError;
use super::store::{Store, StoreError};

/// Most estimates kept of an account: the oldest go.
const KEPT_MAX: i64 = 1_000;

/// What the lengths of an estimate rest on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// The lengths of the account's own calls.
    OwnCalls,
    /// An average that was given.
    Given,
}

impl Basis {
    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OwnCalls => "own_calls",
            Self::Given => "given",
        }
    }
}

/// An estimate as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the columns are documented in the schema")]
pub struct KeptEstimate {
    pub tag: String,
    pub at: DateTime<Utc>,
    pub calls: u32,
    pub answered: Share,
    pub average_milliseconds: Option<u64>,
    pub prefix: Option<String>,
    pub basis: Basis,
    pub estimate: Estimate,
}

/// Keeps an estimate; it replaces the earlier one of its tag.
///
/// # Errors
/// If Postgres is unavailable or refuses the statement.
pub async fn keep(store: &Store, account_key: i32, kept: KeptEstimate) -> Result<(), StoreError> {
    let written = store.transact("estimates::keep", move |connection| {
        let kept = kept.clone();
        async move { write(connection, account_key, &kept).await }.boxed()
    });
    written.await
}

async fn write(
    connection: &mut PgConnection,
    account_key: i32,
    kept: &KeptEstimate,
) -> Result<(), StoreError> {
    let Estimate { answered_calls, billed_seconds, allowance_seconds, cost, rate } = kept.estimate;
    sqlx::query(
        "/* estimates::keep */
         INSERT INTO estimates (account_key, tag, estimated_at, calls, answered_millionths,
             answered_calls, average_milliseconds, prefix, basis, billed_low_seconds, billed_seconds,
             billed_high_seconds, allowance_seconds, rate_micros, cost_low_micros, cost_micros,
             cost_high_micros)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
         ON CONFLICT ON CONSTRAINT estimates_pk DO UPDATE SET
             estimated_at = EXCLUDED.estimated_at, calls = EXCLUDED.calls,
             answered_millionths = EXCLUDED.answered_millionths,
             answered_calls = EXCLUDED.answered_calls,
             average_milliseconds = EXCLUDED.average_milliseconds, prefix = EXCLUDED.prefix,
             basis = EXCLUDED.basis, billed_low_seconds = EXCLUDED.billed_low_seconds,
             billed_seconds = EXCLUDED.billed_seconds,
             billed_high_seconds = EXCLUDED.billed_high_seconds,
             allowance_seconds = EXCLUDED.allowance_seconds, rate_micros = EXCLUDED.rate_micros,
             cost_low_micros = EXCLUDED.cost_low_micros, cost_micros = EXCLUDED.cost_micros,
             cost_high_micros = EXCLUDED.cost_high_micros",
    )
    .bind(account_key)
    .bind(&kept.tag)
    .bind(kept.at)
    .bind(kept.calls.cast_signed())
    .bind(kept.answered.millionths().cast_signed())
    .bind(stored(answered_calls))
    .bind(kept.average_milliseconds.map(stored))
    .bind(&kept.prefix)
    .bind(kept.basis.as_str())
    .bind(stored(billed_seconds.low))
    .bind(stored(billed_seconds.expected))
    .bind(stored(billed_seconds.high))
    .bind(stored(allowance_seconds))
    .bind(rate.micros())
    .bind(cost.low.micros())
    .bind(cost.expected.micros())
    .bind(cost.high.micros())
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "/* estimates::keep, the oldest */
         DELETE FROM estimates WHERE account_key = $1 AND tag IN (
             SELECT tag FROM estimates WHERE account_key = $1
             ORDER BY estimated_at DESC, tag OFFSET $2)",
    )
    .bind(account_key)
    .bind(KEPT_MAX)
    .execute(connection)
    .await?;
    Ok(())
}

/// Finds the estimates of some tags.
///
/// # Errors
/// `Unreadable` if a row holds what this program never writes.
pub async fn find(
    connection: &mut PgConnection,
    account_key: i32,
    tags: &[&str],
) -> Result<Vec<KeptEstimate>, LedgerError> {
    let rows = sqlx::query(
        "/* estimates::find */
         SELECT tag, estimated_at, calls, answered_millionths, answered_calls, average_milliseconds,
             prefix, basis, billed_low_seconds, billed_seconds, billed_high_seconds,
             allowance_seconds, rate_micros, cost_low_micros, cost_micros, cost_high_micros
         FROM estimates WHERE account_key = $1 AND tag = ANY($2)",
    )
    .bind(account_key)
    .bind(tags)
    .fetch_all(connection)
    .await?;
    rows.iter().map(read).collect()
}

/// The tags of the estimates made last, newest first.
///
/// # Errors
/// If Postgres is unavailable or refuses the statement.
pub async fn latest_tags(
    connection: &mut PgConnection,
    account_key: i32,
    most: u16,
) -> Result<Vec<String>, StoreError> {
    let tags = sqlx::query_scalar(
        "/* estimates::latest_tags */
         SELECT tag FROM estimates WHERE account_key = $1 ORDER BY estimated_at DESC LIMIT $2",
    )
    .bind(account_key)
    .bind(i64::from(most))
    .fetch_all(connection)
    .await?;
    Ok(tags)
}

fn stored(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn read(row: &PgRow) -> Result<KeptEstimate, LedgerError> {
    let number = |name: &str| -> Result<u64, LedgerError> {
        let number: i64 = row.try_get(name)?;
        u64::try_from(number).map_err(|error| LedgerError::unreadable("an estimate", error))
    };
    let money = |name: &str| Ok::<_, LedgerError>(Money::from_micros(row.try_get::<i64, _>(name)?));
    let (calls, answered): (i32, i32) =
        (row.try_get("calls")?, row.try_get("answered_millionths")?);
    let average: Option<i64> = row.try_get("average_milliseconds")?;
    let basis = match row.try_get("basis")? {
        "own_calls" => Basis::OwnCalls,
        "given" => Basis::Given,
        other => return Err(LedgerError::unreadable("an estimate", other)),
    };
    Ok(KeptEstimate {
        tag: row.try_get("tag")?,
        at: row.try_get("estimated_at")?,
        calls: calls.unsigned_abs(),
        answered: Share::from_millionths(answered.unsigned_abs())
            .map_err(|error| LedgerError::unreadable("an estimate", error))?,
        average_milliseconds: average.map(i64::unsigned_abs),
        prefix: row.try_get("prefix")?,
        basis,
        estimate: Estimate {
            answered_calls: number("answered_calls")?,
            billed_seconds: Range {
                low: number("billed_low_seconds")?,
                expected: number("billed_seconds")?,
                high: number("billed_high_seconds")?,
            },
            allowance_seconds: number("allowance_seconds")?,
            cost: Range {
                low: money("cost_low_micros")?,
                expected: money("cost_micros")?,
                high: money("cost_high_micros")?,
            },
            rate: RatePerMinute::from_micros(row.try_get("rate_micros")?)
                .map_err(|error| LedgerError::unreadable("an estimate", error))?,
        },
    })
}
