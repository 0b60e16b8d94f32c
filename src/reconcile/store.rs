//! Stores the result of a comparison: its days and differences replace the earlier ones.

use std::sync::Arc;

use callmeter_core::domain::Money;
use chrono::{DateTime, Utc};
use futures::FutureExt;

use super::{Day, DayRange};
use crate::ledger::known_calls::LinkedAccount;
use crate::ledger::store::{Store, StoreError};

/// Replaces the stored days of one Twilio account.
pub(super) async fn keep(
    store: &Store,
    linked: &LinkedAccount,
    range: DayRange,
    days: &Arc<[Day]>,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let key = linked.twilio_account_key;
    store
        .transact("reconcile::keep", |connection| {
            let days = Arc::clone(days);
            async move {
                forget(connection, key, range).await?;
                for day in days.iter() {
                    insert(connection, key, day, now).await?;
                }
                Ok(())
            }
            .boxed()
        })
        .await
}

async fn forget(
    connection: &mut sqlx::PgConnection,
    key: i32,
    range: DayRange,
) -> Result<(), StoreError> {
    sqlx::query(
        "-- reconcile::forget
         DELETE FROM twilio_days WHERE twilio_account_key = $1 AND day BETWEEN $2 AND $3",
    )
    .bind(key)
    .bind(range.first)
    .bind(range.last)
    .execute(connection)
    .await?;
    Ok(())
}

async fn insert(
    connection: &mut sqlx::PgConnection,
    key: i32,
    day: &Day,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    sqlx::query(
        "-- reconcile::insert, day
         INSERT INTO twilio_days (twilio_account_key, day, calls, minutes, price_micros,
             twilio_calls, twilio_minutes, twilio_cost_micros, compared_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(key)
    .bind(day.date)
    .bind(day.ours.calls)
    .bind(day.ours.minutes)
    .bind(day.ours.price.micros())
    .bind(day.twilio.calls)
    .bind(day.twilio.minutes)
    .bind(day.twilio.cost.map(Money::micros))
    .bind(now)
    .execute(&mut *connection)
    .await?;
    for difference in &day.differences {
        sqlx::query(
            "-- reconcile::insert, difference
             INSERT INTO twilio_differences (twilio_account_key, day, reason, calls, minutes, call_sids)
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(key)
        .bind(day.date)
        .bind(difference.reason.as_str())
        .bind(difference.calls)
        .bind(difference.minutes)
        .bind(&difference.call_sids)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}
