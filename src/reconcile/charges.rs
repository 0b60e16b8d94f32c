//! Our charges, by Twilio account and UTC day of the call's start.

use std::collections::{BTreeMap, HashMap};

use callmeter_core::domain::{CallSid, Money};
use chrono::{DateTime, Days, NaiveDate, Utc};
use sqlx::{PgConnection, Row};

use super::DayRange;
use super::compare::{ChargedCalls, TwilioCalls};
use crate::ledger::LedgerError;
use crate::ledger::known_calls::{self, LinkedAccount};
use crate::ledger::store::StoreError;

/// Calls looked up at once.
const SIDS_AT_ONCE: usize = 1_000;

/// Charges of one day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DayTotal {
    /// Number of charges.
    pub calls: i64,
    /// Whole minutes, each leg rounded up: Twilio's own count if its callback reported one, else
    /// computed from the seconds. The plan's increments and policy for legs do not matter.
    pub minutes: i64,
    /// The charged amount.
    pub price: Money,
}

/// Sums the charges of all accounts, by key of the Twilio account and day.
pub(super) async fn totals(
    connection: &mut PgConnection,
    range: DayRange,
) -> Result<HashMap<i32, BTreeMap<NaiveDate, DayTotal>>, StoreError> {
    // A call is charged at most a day before its start (charging.end_ahead_seconds_max). So
    // partitions with only earlier charges need not be read.
    let rows = sqlx::query(
        "-- reconcile::totals
         SELECT twilio_account_key, (started_at AT TIME ZONE 'UTC')::date AS day, count(*) AS calls,
             sum(coalesce(twilio_minutes, (seconds + 59) / 60))::bigint AS minutes,
             sum(amount_micros)::bigint AS price_micros
         FROM charges
         WHERE started_at >= $1 AND started_at < $2 AND charged_at >= $1 - interval '2 days'
         GROUP BY 1, 2",
    )
    .bind(begin(range.first))
    .bind(begin(after(range.last)))
    .fetch_all(connection)
    .await?;
    let mut totals = HashMap::<i32, BTreeMap<NaiveDate, DayTotal>>::new();
    for row in rows {
        let total = DayTotal {
            calls: row.try_get("calls")?,
            minutes: row.try_get("minutes")?,
            price: Money::from_micros(row.try_get("price_micros")?),
        };
        let of_account = totals.entry(row.try_get("twilio_account_key")?).or_default();
        of_account.insert(row.try_get("day")?, total);
    }
    Ok(totals)
}

/// Reads the charged calls that started on a day or a day beside it, and those of `theirs` that
/// were charged with any other start: a callback without a timestamp gives its own time as the
/// call's end.
pub(super) async fn calls_around(
    connection: &mut PgConnection,
    linked: &LinkedAccount,
    day: NaiveDate,
    theirs: &TwilioCalls,
) -> Result<ChargedCalls, LedgerError> {
    let rows = sqlx::query(
        "-- reconcile::calls_around
         SELECT call_sid, (started_at AT TIME ZONE 'UTC')::date AS day,
             coalesce(twilio_minutes, (seconds + 59) / 60)::bigint AS minutes
         FROM charges
         WHERE account_key = $1 AND twilio_account_key = $2 AND started_at >= $3
           AND started_at < $4 AND charged_at >= $3 - interval '2 days'",
    )
    .bind(linked.account_key)
    .bind(linked.twilio_account_key)
    .bind(begin(day.pred_opt().unwrap_or(day)))
    .bind(begin(after(after(day))))
    .fetch_all(&mut *connection)
    .await?;
    let mut calls = ChargedCalls::with_capacity(rows.len());
    for row in rows {
        calls.insert(row.try_get("call_sid")?, (row.try_get("day")?, row.try_get("minutes")?));
    }
    let is_missing =
        |(sid, (at, _)): &(&String, &(NaiveDate, i64))| *at == day && !calls.contains_key(*sid);
    let missing = theirs.iter().filter(is_missing);
    let missing: Vec<CallSid> = missing.filter_map(|(sid, _)| CallSid::parse(sid).ok()).collect();
    for sids in missing.chunks(SIDS_AT_ONCE) {
        for (sid, seconds) in known_calls::charged(connection, linked, sids).await? {
            let minutes = i64::from(seconds).div_euclid(60) + i64::from(seconds % 60 > 0);
            calls.insert(sid.to_string(), (NaiveDate::MIN, minutes));
        }
    }
    Ok(calls)
}

fn begin(day: NaiveDate) -> DateTime<Utc> {
    DateTime::from_naive_utc_and_offset(day.into(), Utc)
}

fn after(day: NaiveDate) -> NaiveDate {
    day.checked_add_days(Days::new(1)).unwrap_or(day)
}
