//! What the transaction of a replay adds: an audit entry, and the amount it debited.
//!
//! A command has no metrics: it ends before it could be scraped. So each replay adds its amount to
//! a sum in Postgres, which processes with metrics show (decision 0045).

use callmeter_core::domain::money::Money;
use callmeter_core::domain::transaction::TransactionKind;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use sqlx::PgConnection;

use super::Committed;
use crate::ledger::audit::{self, Action, AuditEntry, By};
use crate::ledger::store::StoreError;

impl Committed {
    /// The amounts debited, by kind.
    fn debits(&self) -> [(TransactionKind, Money); 3] {
        [
            (TransactionKind::Call, self.call_amount),
            (TransactionKind::Overage, self.overage_amount),
            (TransactionKind::NumberRental, self.rental_amount),
        ]
    }
}

/// Writes the audit entry of a replay. The reject's row was written before, so it is locked.
pub(super) async fn note(
    connection: &mut PgConnection,
    by: &By,
    reject_id: i64,
    committed: &Committed,
) -> Result<(), StoreError> {
    let closed_at: Option<DateTime<Utc>> = sqlx::query_scalar(
        "/* commit_batch: closed before its replay? */
         SELECT closed_at FROM rejects WHERE reject_id = $1",
    )
    .bind(reject_id)
    .fetch_optional(&mut *connection)
    .await?
    .flatten();
    let outcome = committed.outcomes.first().map(|outcome| outcome.as_str());
    let mut after = json!({ "outcome": outcome, "debited": committed.debited() });
    // One record debits one kind.
    for (kind, amount) in committed.debits() {
        if !amount.is_zero() {
            after["kind"] = json!(kind.as_str());
            add(connection, kind, amount).await?;
        }
    }
    let entry = AuditEntry {
        action: Action::RejectReplayed,
        account_key: None,
        subject: format!("reject {reject_id}"),
        before: closed_at.map_or(Value::Null, |at| json!({ "closed_at": at })),
        after,
    };
    audit::note(connection, by, &entry).await
}

async fn add(
    connection: &mut PgConnection,
    kind: TransactionKind,
    amount: Money,
) -> Result<(), StoreError> {
    sqlx::query(
        "/* commit_batch: replayed amounts */
         INSERT INTO replayed_amounts AS sum (kind, amount_micros)
         VALUES ($1::text::transaction_kind, $2)
             ON CONFLICT ON CONSTRAINT replayed_amounts_pk
             DO UPDATE SET amount_micros = sum.amount_micros + EXCLUDED.amount_micros",
    )
    .bind(kind.as_str())
    .bind(amount.micros())
    .execute(connection)
    .await?;
    Ok(())
}
