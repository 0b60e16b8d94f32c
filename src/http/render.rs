//! Charged calls as JSON and CSV.

use callmeter_core::domain::Money;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::csv::Line;
use crate::csv::rfc3339;
use crate::json::schema;
use crate::ledger::history::{ChargedCall, TransactionId};

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
