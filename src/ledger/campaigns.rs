//! Campaigns: the charged calls of one tag, summed.
//!
//! The sums follow from the charges and are no ledger. Charges of an account are numbered without a
//! gap and in the order of their commits, so the sums are counted on from the last counted number by
//! whoever looks. Charging writes nothing for them, and a look costs no more than what is new.

use std::collections::{BTreeMap, BTreeSet};

use callmeter_core::domain::Money;
use chrono::{DateTime, Utc};
use futures::FutureExt as _;
use serde_json::{Value, json};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use super::error::LedgerError;
use super::history::{ChargedCall, read_call};
use super::store::{Store, StoreError};

/// Charges counted in one transaction, and transactions of one look: the rest waits for the next.
const CHARGES_MAX: i64 = 20_000;
const STEPS_MAX: usize = 5;
/// Charges between two points of a course, at most.
const POINT_EVERY: i64 = 500;
/// Most points of a course; then every second one goes.
const POINTS_MAX: usize = 96;
/// Charges that are searched for a campaign's latest calls.
const SEARCHED_MAX: i64 = 20_000;

/// What the calls of one tag came to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the columns are documented in the schema")]
pub struct CampaignTotals {
    pub tag: String,
    pub calls: i64,
    pub seconds: i64,
    pub billed_seconds: i64,
    pub allowance_seconds: i64,
    pub amount: Money,
    pub first_charged_at: DateTime<Utc>,
    pub last_charged_at: DateTime<Utc>,
    pub last_sequence: i64,
    /// Points on the way: calls, and what was paid for them.
    pub course: Vec<(i64, Money)>,
}

/// Counts the charges that are new since the last look; false: more are left for the next one.
///
/// # Errors
/// If Postgres is unavailable or refuses a statement.
pub async fn count(store: &Store, account_key: i32) -> Result<bool, LedgerError> {
    let is_counted = sqlx::query_scalar(
        "/* campaigns::count, whether */
         SELECT w.charge_sequence <= coalesce(c.counted_sequence, 0)
         FROM wallets AS w LEFT JOIN campaign_counts AS c USING (account_key)
         WHERE w.account_key = $1",
    )
    .bind(account_key)
    .fetch_one(&mut *store.read().await?)
    .await?;
    if is_counted {
        return Ok(true);
    }
    for _ in 0..STEPS_MAX {
        let counted = store.transact("campaigns::count", move |connection| {
            async move { count_some(connection, account_key).await }.boxed()
        });
        if counted.await? < CHARGES_MAX {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Counts the next charges; returns how many.
async fn count_some(connection: &mut PgConnection, account_key: i32) -> Result<i64, LedgerError> {
    sqlx::query(
        "/* campaigns::count, its row */
         INSERT INTO campaign_counts (account_key, counted_sequence) VALUES ($1, 0)
         ON CONFLICT ON CONSTRAINT campaign_counts_pk DO NOTHING",
    )
    .bind(account_key)
    .execute(&mut *connection)
    .await?;
    let counted: i64 = sqlx::query_scalar(
        "/* campaigns::count, the lock */
         SELECT counted_sequence FROM campaign_counts WHERE account_key = $1 FOR UPDATE",
    )
    .bind(account_key)
    .fetch_one(&mut *connection)
    .await?;
    let pieces = sqlx::query(
        "/* campaigns::count, the charges */
         SELECT tag, (charge_sequence - $2 - 1) / $4 AS piece, count(*) AS calls,
             sum(seconds)::bigint AS seconds, sum(billed_seconds)::bigint AS billed_seconds,
             sum(allowance_seconds)::bigint AS allowance_seconds,
             sum(amount_micros)::bigint AS amount_micros, min(charged_at) AS first_charged_at,
             max(charged_at) AS last_charged_at, max(charge_sequence) AS last_sequence
         FROM charges
         WHERE account_key = $1 AND charge_sequence > $2 AND charge_sequence <= $2 + $3
         GROUP BY tag, piece ORDER BY piece",
    )
    .bind(account_key)
    .bind(counted)
    .bind(CHARGES_MAX)
    .bind(POINT_EVERY)
    .fetch_all(&mut *connection)
    .await?;
    let (mut seen, mut tags) = (0, BTreeSet::new());
    for piece in &pieces {
        seen += piece.try_get::<i64, _>("calls")?;
        tags.extend(piece.try_get::<Option<&str>, _>("tag")?);
    }
    let tags: Vec<&str> = tags.into_iter().collect();
    let mut campaigns: BTreeMap<String, CampaignTotals> = BTreeMap::new();
    for campaign in find(connection, account_key, &tags).await? {
        campaigns.insert(campaign.tag.clone(), campaign);
    }
    for piece in &pieces {
        let Some(tag) = piece.try_get::<Option<String>, _>("tag")? else { continue };
        let piece = read_totals(piece, tag.clone(), Vec::new())?;
        campaigns
            .entry(tag)
            .and_modify(|campaign| campaign.add(&piece))
            .or_insert_with(|| piece.begun());
    }
    write(connection, account_key, campaigns.values()).await?;
    sqlx::query(
        "/* campaigns::count, the number */
         UPDATE campaign_counts SET counted_sequence = counted_sequence + $2 WHERE account_key = $1",
    )
    .bind(account_key)
    .bind(seen)
    .execute(connection)
    .await?;
    Ok(seen)
}

impl CampaignTotals {
    /// The first piece of a campaign, with its point.
    fn begun(&self) -> Self {
        Self { course: vec![(self.calls, self.amount)], ..self.clone() }
    }

    /// Adds a later piece, and a point for it.
    fn add(&mut self, piece: &Self) {
        self.calls += piece.calls;
        self.seconds += piece.seconds;
        self.billed_seconds += piece.billed_seconds;
        self.allowance_seconds += piece.allowance_seconds;
        self.amount = self.amount.checked_add(piece.amount).unwrap_or(self.amount);
        self.last_charged_at = piece.last_charged_at;
        self.last_sequence = piece.last_sequence;
        self.course.push((self.calls, self.amount));
        if self.course.len() > POINTS_MAX {
            let mut place = 0;
            self.course.retain(|_| {
                place += 1;
                place % 2 == 1
            });
        }
    }
}

async fn write(
    connection: &mut PgConnection,
    account_key: i32,
    campaigns: impl Iterator<Item = &CampaignTotals>,
) -> Result<(), StoreError> {
    let rows: Vec<Value> = campaigns
        .map(|campaign| {
            let course = campaign.course.iter().flat_map(|(calls, paid)| [*calls, paid.micros()]);
            json!({
                "tag": campaign.tag, "calls": campaign.calls, "seconds": campaign.seconds,
                "billed_seconds": campaign.billed_seconds,
                "allowance_seconds": campaign.allowance_seconds,
                "amount_micros": campaign.amount.micros(),
                "first_charged_at": campaign.first_charged_at,
                "last_charged_at": campaign.last_charged_at,
                "last_sequence": campaign.last_sequence, "course": course.collect::<Vec<_>>(),
            })
        })
        .collect();
    sqlx::query(
        "/* campaigns::count, the sums */
         INSERT INTO campaigns (account_key, tag, calls, seconds, billed_seconds, allowance_seconds,
             amount_micros, first_charged_at, last_charged_at, last_sequence, course)
         SELECT $1, r.* FROM jsonb_to_recordset($2) AS r (tag text, calls bigint, seconds bigint,
             billed_seconds bigint, allowance_seconds bigint, amount_micros bigint,
             first_charged_at timestamptz, last_charged_at timestamptz, last_sequence bigint,
             course bigint[])
         ON CONFLICT ON CONSTRAINT campaigns_pk DO UPDATE SET calls = EXCLUDED.calls,
             seconds = EXCLUDED.seconds, billed_seconds = EXCLUDED.billed_seconds,
             allowance_seconds = EXCLUDED.allowance_seconds,
             amount_micros = EXCLUDED.amount_micros, last_charged_at = EXCLUDED.last_charged_at,
             last_sequence = EXCLUDED.last_sequence, course = EXCLUDED.course",
    )
    .bind(account_key)
    .bind(Value::Array(rows))
    .execute(connection)
    .await?;
    Ok(())
}

/// Finds the campaigns of some tags, as counted.
///
/// # Errors
/// If Postgres fails, or holds a value that cannot be read.
pub async fn find(
    connection: &mut PgConnection,
    account_key: i32,
    tags: &[&str],
) -> Result<Vec<CampaignTotals>, LedgerError> {
    let rows = sqlx::query(
        "/* campaigns::find */
         SELECT tag, calls, seconds, billed_seconds, allowance_seconds, amount_micros,
             first_charged_at, last_charged_at, last_sequence, course
         FROM campaigns WHERE account_key = $1 AND tag = ANY($2)",
    )
    .bind(account_key)
    .bind(tags)
    .fetch_all(connection)
    .await?;
    let campaigns = rows.iter().map(|row| {
        let course: Vec<i64> = row.try_get("course")?;
        let points = course.chunks_exact(2).map(|pair| (pair[0], Money::from_micros(pair[1])));
        read_totals(row, row.try_get("tag")?, points.collect())
    });
    campaigns.collect()
}

/// The tags of the campaigns whose calls were charged last, newest first.
///
/// # Errors
/// If Postgres is unavailable or refuses the statement.
pub async fn latest_tags(
    connection: &mut PgConnection,
    account_key: i32,
    most: u16,
) -> Result<Vec<String>, StoreError> {
    let tags = sqlx::query_scalar(
        "/* campaigns::latest_tags */
         SELECT tag FROM campaigns WHERE account_key = $1 ORDER BY last_sequence DESC LIMIT $2",
    )
    .bind(account_key)
    .bind(i64::from(most))
    .fetch_all(connection)
    .await?;
    Ok(tags)
}

/// The latest calls of a campaign, newest first, among the charges just before its last one.
///
/// # Errors
/// If Postgres fails, or holds a value that cannot be read.
pub async fn latest_calls(
    connection: &mut PgConnection,
    account_key: i32,
    campaign: &CampaignTotals,
    most: u16,
) -> Result<Vec<ChargedCall>, LedgerError> {
    let rows = sqlx::query(
        "/* campaigns::latest_calls */
         SELECT account_key, charge_sequence, call_sid, parent_call_sid,
             nullif(call_from, '') AS call_from, nullif(call_to, '') AS call_to,
             direction, started_at, seconds, billed_seconds, allowance_seconds, wallet_seconds,
             rate_micros, amount_micros, plan, cycle_start, tag, transaction_sequence
         FROM charges
         WHERE account_key = $1 AND charge_sequence <= $2 AND charge_sequence > $2 - $3 AND tag = $4
         ORDER BY charge_sequence DESC LIMIT $5",
    )
    .bind(account_key)
    .bind(campaign.last_sequence)
    .bind(SEARCHED_MAX)
    .bind(&campaign.tag)
    .bind(i64::from(most))
    .fetch_all(connection)
    .await?;
    rows.iter().map(read_call).collect()
}

fn read_totals(
    row: &PgRow,
    tag: String,
    course: Vec<(i64, Money)>,
) -> Result<CampaignTotals, LedgerError> {
    Ok(CampaignTotals {
        tag,
        calls: row.try_get("calls")?,
        seconds: row.try_get("seconds")?,
        billed_seconds: row.try_get("billed_seconds")?,
        allowance_seconds: row.try_get("allowance_seconds")?,
        amount: Money::from_micros(row.try_get("amount_micros")?),
        first_charged_at: row.try_get("first_charged_at")?,
        last_charged_at: row.try_get("last_charged_at")?,
        last_sequence: row.try_get("last_sequence")?,
        course,
    })
}
