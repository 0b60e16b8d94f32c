//! Transactions and calls as JSON and CSV.

use callmeter_core::domain::{Money, TransactionKind, TransactionStatus, TransactionType};
use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::csv::Line;
use crate::json::schema;
use crate::ledger::history::{ChargedCall, Transaction, TransactionId};

/// A transaction.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Transaction)]
pub(super) struct TransactionJson {
    #[schema(value_type = schema::TransactionId)]
    id: String,
    sequence: i64,
    at: DateTime<Utc>,
    #[serde(rename = "type")]
    #[schema(value_type = schema::TransactionType)]
    direction: TransactionType,
    #[schema(value_type = schema::TransactionKind)]
    kind: TransactionKind,
    #[schema(value_type = schema::Amount)]
    amount: Money,
    #[schema(value_type = schema::Amount)]
    balance_before: Money,
    #[schema(value_type = schema::Amount)]
    balance_after: Money,
    description: String,
    #[schema(value_type = schema::TransactionStatus)]
    status: TransactionStatus,
    payment_intent_id: Option<String>,
    call_sid: Option<String>,
    #[schema(value_type = Option<schema::TransactionId>)]
    refers_to: Option<String>,
}

impl From<Transaction> for TransactionJson {
    fn from(row: Transaction) -> Self {
        let id = |sequence| TransactionId { account_key: row.account_key, sequence }.to_string();
        let standard = || row.kind.default_description().to_owned();
        Self {
            id: id(row.sequence),
            sequence: row.sequence,
            at: row.at,
            direction: row.direction,
            kind: row.kind,
            amount: row.amount,
            balance_before: row.balance_before,
            balance_after: row.balance_after,
            refers_to: row.refers_to.map(id),
            description: row.description.unwrap_or_else(standard),
            status: row.status,
            payment_intent_id: row.payment_intent_id,
            call_sid: row.call_sid,
        }
    }
}

impl TransactionJson {
    /// Writes a line of CSV, in the field order of the JSON.
    pub(super) fn write(&self, line: Line) -> Line {
        line.value(&self.id)
            .value(self.sequence)
            .value(rfc3339(self.at))
            .value(self.direction)
            .value(self.kind)
            .value(self.amount)
            .value(self.balance_before)
            .value(self.balance_after)
            .text(&self.description)
            .value(self.status)
            .optional(self.payment_intent_id.as_ref())
            .text(self.call_sid.as_deref().unwrap_or_default())
            .optional(self.refers_to.as_ref())
    }
}

/// A time in the form of the JSON.
fn rfc3339(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

/// A charged call.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Call)]
pub(super) struct CallJson {
    call_sid: String,
    parent_call_sid: Option<String>,
    from: Option<String>,
    to: Option<String>,
    direction: Option<String>,
    started_at: DateTime<Utc>,
    seconds: i32,
    billed_seconds: i32,
    allowance_seconds: i32,
    wallet_seconds: i32,
    #[schema(value_type = schema::Amount)]
    rate_per_minute: Money,
    #[schema(value_type = schema::Amount)]
    amount: Money,
    plan: Option<String>,
    cycle_start: Option<DateTime<Utc>>,
    charge_sequence: i64,
    tag: Option<String>,
    #[schema(value_type = Option<schema::TransactionId>)]
    transaction_id: Option<String>,
}

impl From<ChargedCall> for CallJson {
    fn from(call: ChargedCall) -> Self {
        let id = |sequence| TransactionId { account_key: call.account_key, sequence }.to_string();
        Self {
            transaction_id: call.transaction_sequence.map(id),
            call_sid: call.call_sid,
            parent_call_sid: call.parent_call_sid,
            from: call.from,
            to: call.to,
            direction: call.direction,
            started_at: call.started_at,
            seconds: call.seconds,
            billed_seconds: call.billed_seconds,
            allowance_seconds: call.allowance_seconds,
            wallet_seconds: call.wallet_seconds,
            rate_per_minute: call.rate_per_minute,
            amount: call.amount,
            plan: call.plan,
            cycle_start: call.cycle_start,
            charge_sequence: call.charge_sequence,
            tag: call.tag,
        }
    }
}

impl CallJson {
    /// Writes a line of CSV, in the field order of the JSON.
    pub(super) fn write(&self, line: Line) -> Line {
        line.text(&self.call_sid)
            .text(self.parent_call_sid.as_deref().unwrap_or_default())
            .end_of_line(self.from.as_deref())
            .end_of_line(self.to.as_deref())
            .text(self.direction.as_deref().unwrap_or_default())
            .value(rfc3339(self.started_at))
            .value(self.seconds)
            .value(self.billed_seconds)
            .value(self.allowance_seconds)
            .value(self.wallet_seconds)
            .value(self.rate_per_minute)
            .value(self.amount)
            .optional(self.plan.as_ref())
            .optional(self.cycle_start.map(rfc3339))
            .value(self.charge_sequence)
            .text(self.tag.as_deref().unwrap_or_default())
            .optional(self.transaction_id.as_ref())
    }
}
