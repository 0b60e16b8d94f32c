//! A number as JSON.

use callmeter_core::domain::{Money, NumberStatus, NumberType};
use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::schema;
use crate::ledger::history::TransactionId;
use crate::ledger::numbers::Number;

/// A number.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Number)]
pub(crate) struct NumberJson {
    #[schema(value_type = schema::NumberId)]
    id: String,
    /// Twilio's id; null until it is bought.
    sid: Option<String>,
    #[schema(value_type = schema::AccountId)]
    account: String,
    #[schema(value_type = schema::PhoneNumber)]
    phone_number: String,
    #[schema(value_type = schema::Country)]
    country: String,
    #[schema(value_type = schema::NumberType)]
    r#type: NumberType,
    #[schema(value_type = schema::NumberStatus)]
    status: NumberStatus,
    /// What the purchase costs, the first period included.
    #[schema(value_type = schema::Amount)]
    price: Money,
    /// What a month cost when it was bought; each period costs what the catalog says at its start.
    #[schema(value_type = schema::Amount)]
    monthly: Money,
    /// The first day of the next period, UTC; null if none follows.
    next_renewal: Option<NaiveDate>,
    /// The row that debited the purchase; null before it, and at no price.
    #[schema(value_type = Option<schema::TransactionId>)]
    transaction_id: Option<String>,
    /// Why it failed, is suspended or was released, as one word.
    reason: Option<String>,
    created_at: DateTime<Utc>,
    finished_at: Option<DateTime<Utc>>,
}

impl From<Number> for NumberJson {
    fn from(number: Number) -> Self {
        let account_key = number.account_key;
        let id = |sequence| TransactionId { account_key, sequence }.to_string();
        Self {
            id: number.id.to_string(),
            sid: number.sid.map(|sid| sid.to_string()),
            account: number.account.to_string(),
            phone_number: number.phone_number,
            country: number.country,
            r#type: number.number_type,
            status: number.status,
            price: number.price,
            monthly: number.monthly,
            next_renewal: number.next_due_at.map(|at| at.date_naive()),
            transaction_id: number.debit_sequence.map(id),
            reason: number.reason,
            created_at: number.created_at,
            finished_at: number.finished_at,
        }
    }
}
