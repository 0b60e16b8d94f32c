//! A transaction as JSON.

use callmeter_core::domain::{Money, TransactionKind, TransactionStatus, TransactionType};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::schema;
use crate::ledger::history::{Transaction, TransactionId};

/// A transaction.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Transaction)]
pub(crate) struct TransactionJson {
    #[schema(value_type = schema::TransactionId)]
    pub(crate) id: String,
    pub(crate) sequence: i64,
    pub(crate) at: DateTime<Utc>,
    #[serde(rename = "type")]
    #[schema(value_type = schema::TransactionType)]
    pub(crate) direction: TransactionType,
    #[schema(value_type = schema::TransactionKind)]
    pub(crate) kind: TransactionKind,
    #[schema(value_type = schema::Amount)]
    pub(crate) amount: Money,
    #[schema(value_type = schema::Amount)]
    pub(crate) balance_before: Money,
    #[schema(value_type = schema::Amount)]
    pub(crate) balance_after: Money,
    pub(crate) description: String,
    #[schema(value_type = schema::TransactionStatus)]
    pub(crate) status: TransactionStatus,
    pub(crate) payment_intent_id: Option<String>,
    pub(crate) call_sid: Option<String>,
    #[schema(value_type = Option<schema::TransactionId>)]
    pub(crate) refers_to: Option<String>,
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
