//! A charged call as JSON.

use callmeter_core::domain::Money;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::schema;
use crate::ledger::history::{ChargedCall, TransactionId};

/// A charged call.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Call)]
pub(crate) struct CallJson {
    pub(crate) call_sid: String,
    pub(crate) parent_call_sid: Option<String>,
    pub(crate) from: Option<String>,
    pub(crate) to: Option<String>,
    pub(crate) direction: Option<String>,
    pub(crate) started_at: DateTime<Utc>,
    pub(crate) seconds: i32,
    pub(crate) billed_seconds: i32,
    pub(crate) allowance_seconds: i32,
    pub(crate) wallet_seconds: i32,
    #[schema(value_type = schema::Amount)]
    pub(crate) rate_per_minute: Money,
    #[schema(value_type = schema::Amount)]
    pub(crate) amount: Money,
    pub(crate) plan: Option<String>,
    pub(crate) cycle_start: Option<DateTime<Utc>>,
    pub(crate) charge_sequence: i64,
    pub(crate) tag: Option<String>,
    #[schema(value_type = Option<schema::TransactionId>)]
    pub(crate) transaction_id: Option<String>,
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
