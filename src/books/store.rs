//! Stores what a comparison found: Stripe's side of each payment, and the differences.

use callmeter_core::domain::Money;
use chrono::{DateTime, NaiveDate, Utc};
use futures::FutureExt;
use serde::Serialize;
use sqlx::PgConnection;

use super::compare::Difference;
use crate::ledger::store::{Store, StoreError};
use crate::metrics::{STRIPE_DRIFT_DOLLARS, set_dollars};

/// Stripe's side of a payment.
#[derive(Clone, Debug)]
pub(super) struct Settlement {
    pub(super) payment_intent: String,
    pub(super) charge: String,
    /// Smallest units of the settlement's currency.
    pub(super) fee: i64,
    /// Smallest units of the settlement's currency.
    pub(super) net: i64,
    pub(super) currency: String,
}

/// The open differences, all together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Open {
    /// How many.
    pub differences: i64,
    /// By how many micro-dollars the books differ, the signs left out.
    pub drift_micros: i64,
}

impl Open {
    /// Publishes the drift as a metric.
    pub fn publish(&self) {
        set_dollars(STRIPE_DRIFT_DOLLARS, Money::from_micros(self.drift_micros));
    }
}

/// Stores Stripe's side of payments; a payout that is known stays.
pub(super) async fn keep_settlements(
    store: &Store,
    settlements: &[Settlement],
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let text = |of: fn(&Settlement) -> &String| -> Vec<String> {
        settlements.iter().map(|settlement| of(settlement).clone()).collect()
    };
    let cents = |of: fn(&Settlement) -> i64| settlements.iter().map(of).collect::<Vec<i64>>();
    let statement = || {
        sqlx::query(
            "/* books::keep_settlements */
             INSERT INTO stripe_settlements
                 (payment_intent, charge, fee_cents, net_cents, currency, seen_at)
             SELECT payment_intent, charge, fee, net, currency, $6
             FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::text[])
                 AS seen (payment_intent, charge, fee, net, currency)
             ON CONFLICT (payment_intent) DO UPDATE SET charge = EXCLUDED.charge,
                 fee_cents = EXCLUDED.fee_cents, net_cents = EXCLUDED.net_cents,
                 currency = EXCLUDED.currency, seen_at = EXCLUDED.seen_at",
        )
        .bind(text(|settlement| &settlement.payment_intent))
        .bind(text(|settlement| &settlement.charge))
        .bind(cents(|settlement| settlement.fee))
        .bind(cents(|settlement| settlement.net))
        .bind(text(|settlement| &settlement.currency))
        .bind(now)
    };
    store.execute("books::keep_settlements", statement).await.map(|_| ())
}

/// Notes which payout contains these charges.
pub(super) async fn keep_payout(
    store: &Store,
    payout: &str,
    charges: &[String],
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let statement = || {
        sqlx::query(
            "/* books::keep_payout */
             UPDATE stripe_settlements SET payout = $1, seen_at = $3
             WHERE charge = ANY ($2) AND payout IS DISTINCT FROM $1",
        )
        .bind(payout)
        .bind(charges)
        .bind(now)
    };
    store.execute("books::keep_payout", statement).await.map(|_| ())
}

/// Stores the differences of the payments created from `from` until before `to`: those that were
/// found are open, all others are gone.
pub(super) async fn keep_differences(
    store: &Store,
    (from, to): (DateTime<Utc>, DateTime<Utc>),
    found: &[Difference],
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let found = std::sync::Arc::<[Difference]>::from(found);
    store
        .transact("books::keep_differences", move |connection| {
            let found = std::sync::Arc::clone(&found);
            async move { replace(connection, (from, to), &found, now).await }.boxed()
        })
        .await
}

async fn replace(
    connection: &mut PgConnection,
    (from, to): (DateTime<Utc>, DateTime<Utc>),
    found: &[Difference],
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let payments: Vec<&str> = found.iter().map(|it| it.payment_intent.as_str()).collect();
    let reasons: Vec<&str> = found.iter().map(|it| it.reason.as_str()).collect();
    sqlx::query(
        "/* books::replace, gone */
         UPDATE stripe_differences AS known SET gone_at = $5
         WHERE gone_at IS NULL AND paid_at >= $1 AND paid_at < $2 AND NOT EXISTS (
             SELECT FROM unnest($3::text[], $4::text[]) AS found (payment_intent, reason)
             WHERE found.payment_intent = known.payment_intent AND found.reason = known.reason)",
    )
    .bind(from)
    .bind(to)
    .bind(&payments)
    .bind(&reasons)
    .bind(now)
    .execute(&mut *connection)
    .await?;
    for difference in found {
        sqlx::query(
            "/* books::replace, found */
             INSERT INTO stripe_differences AS known
                 (payment_intent, reason, ours, theirs, currency, paid_at, found_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7)
             ON CONFLICT (payment_intent, reason) DO UPDATE SET ours = EXCLUDED.ours,
                 theirs = EXCLUDED.theirs, currency = EXCLUDED.currency, gone_at = NULL,
                 found_at = CASE WHEN known.gone_at IS NULL THEN known.found_at
                                 ELSE EXCLUDED.found_at END",
        )
        .bind(&difference.payment_intent)
        .bind(difference.reason.as_str())
        .bind(difference.ours.micros())
        .bind(difference.stripe.micros())
        .bind(&difference.currency)
        .bind(difference.paid_at)
        .bind(now)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// Sums up the open differences, of whatever day.
///
/// # Errors
/// If Postgres is unavailable.
pub async fn open(connection: &mut PgConnection) -> Result<Open, StoreError> {
    let (differences, drift_micros) = sqlx::query_as(
        "/* books::open */
         SELECT count(*), coalesce(sum(abs(ours - theirs)), 0)::bigint
         FROM stripe_differences WHERE gone_at IS NULL",
    )
    .fetch_one(connection)
    .await?;
    Ok(Open { differences, drift_micros })
}

/// UTC days before `first` that have open differences, the latest first, at most `limit`.
pub(super) async fn open_days(
    connection: &mut PgConnection,
    first: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<NaiveDate>, StoreError> {
    let days = sqlx::query_scalar(
        "/* books::open_days */
         SELECT DISTINCT (paid_at AT TIME ZONE 'UTC')::date AS day FROM stripe_differences
         WHERE gone_at IS NULL AND paid_at < $1 ORDER BY day DESC LIMIT $2",
    );
    Ok(days.bind(first).bind(limit).fetch_all(connection).await?)
}
