//! What the ledger has of payments: credits, debits for refunds and chargebacks, payments that fit
//! no refill.

use std::collections::{HashMap, HashSet};

use callmeter_core::domain::Money;
use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use super::compare::{InLedger, Moved, OurDispute};
use crate::ledger::store::StoreError;

/// A credit of a refill that was begun in a period.
#[derive(Clone, Debug)]
pub(super) struct Credit {
    pub(super) payment_intent: String,
    pub(super) moved: Moved,
    /// When the refill was begun, just before its payment.
    pub(super) begun_at: DateTime<Utc>,
}

/// Reads the credits of the refills that were begun from `from` until before `to`.
pub(super) async fn credits(
    connection: &mut PgConnection,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Result<Vec<Credit>, StoreError> {
    let rows = sqlx::query(
        "/* books::credits */
         SELECT payment_intent, created_at, t.amount_micros, t.at
         FROM refills JOIN transactions AS t ON t.payment_intent_id = payment_intent
             AND t.status = 'completed' AND t.kind IN ('refill_manual', 'refill_auto')
         WHERE created_at >= $1 AND created_at < $2",
    )
    .bind(from)
    .bind(to)
    .fetch_all(connection)
    .await?;
    let credit = |row: &PgRow| {
        Ok(Credit {
            payment_intent: row.try_get("payment_intent")?,
            moved: Moved { amount: micros(row.try_get("amount_micros")?), at: row.try_get("at")? },
            begun_at: row.try_get("created_at")?,
        })
    };
    rows.iter().map(credit).collect()
}

/// Reads everything about these payments, by payment.
pub(super) async fn payments(
    connection: &mut PgConnection,
    ids: &[&str],
) -> Result<HashMap<String, InLedger>, StoreError> {
    let mut found = HashMap::<String, InLedger>::new();
    let credits: Vec<(String, i64, DateTime<Utc>)> = sqlx::query_as(
        "/* books::payments, credits */
         SELECT payment_intent_id, amount_micros, at FROM transactions
         WHERE payment_intent_id = ANY ($1) AND status = 'completed'
           AND kind IN ('refill_manual', 'refill_auto')",
    )
    .bind(ids)
    .fetch_all(&mut *connection)
    .await?;
    for (id, amount, at) in credits {
        found.entry(id).or_default().credit = Some(Moved { amount: micros(amount), at });
    }
    let unmatched: Vec<(String, bool)> = sqlx::query_as(
        "/* books::payments, unmatched */
         SELECT payment_intent, resolved_at IS NULL FROM unmatched_payments
         WHERE payment_intent = ANY ($1)",
    )
    .bind(ids)
    .fetch_all(&mut *connection)
    .await?;
    for (id, is_open) in unmatched {
        found.entry(id).or_default().unmatched = Some(is_open);
    }
    let refunds: Vec<(String, String, i64, DateTime<Utc>)> = sqlx::query_as(
        "/* books::payments, refunds */
         SELECT payment_intent, coalesce(f.stripe_refund, f.refund), t.amount_micros, t.at
         FROM refills JOIN refunds AS f USING (refill)
         JOIN transactions AS t ON t.account_key = f.account_key AND t.sequence = f.debit_sequence
         WHERE payment_intent = ANY ($1) AND f.reversal_sequence IS NULL
         ORDER BY f.refund_number",
    )
    .bind(ids)
    .fetch_all(&mut *connection)
    .await?;
    for (id, refund, amount, at) in refunds {
        let moved = Moved { amount: micros(amount), at };
        found.entry(id).or_default().refunds.push((refund, moved));
    }
    let disputes = sqlx::query(
        "/* books::payments, disputes */
         SELECT payment_intent, d.dispute, w.amount_micros AS withdrawn, w.at AS withdrawn_at,
             r.amount_micros AS reinstated, r.at AS reinstated_at
         FROM refills JOIN disputes AS d USING (refill)
         LEFT JOIN transactions AS w
             ON w.account_key = d.account_key AND w.sequence = d.withdrawn_sequence
         LEFT JOIN transactions AS r
             ON r.account_key = d.account_key AND r.sequence = d.reinstated_sequence
         WHERE payment_intent = ANY ($1) ORDER BY d.opened_at, d.dispute",
    )
    .bind(ids)
    .fetch_all(connection)
    .await?;
    for row in &disputes {
        let dispute = OurDispute {
            id: row.try_get("dispute")?,
            withdrawn: moved(row, "withdrawn", "withdrawn_at")?,
            reinstated: moved(row, "reinstated", "reinstated_at")?,
        };
        found.entry(row.try_get("payment_intent")?).or_default().disputes.push(dispute);
    }
    Ok(found)
}

/// Which of these payments are this ledger's.
pub(super) async fn known(
    connection: &mut PgConnection,
    ids: &[&str],
) -> Result<HashSet<String>, StoreError> {
    let known: Vec<String> = sqlx::query_scalar(
        "/* books::known */
         SELECT payment_intent FROM refills WHERE payment_intent = ANY ($1)
         UNION SELECT payment_intent FROM stripe_settlements WHERE payment_intent = ANY ($1)",
    )
    .bind(ids)
    .fetch_all(connection)
    .await?;
    Ok(known.into_iter().collect())
}

fn moved(row: &PgRow, amount: &str, at: &str) -> Result<Option<Moved>, sqlx::Error> {
    let (amount, at): (Option<i64>, Option<DateTime<Utc>>) =
        (row.try_get(amount)?, row.try_get(at)?);
    Ok(amount.zip(at).map(|(amount, at)| Moved { amount: micros(amount), at }))
}

fn micros(amount: i64) -> Money {
    Money::from_micros(amount)
}
