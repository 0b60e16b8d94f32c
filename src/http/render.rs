//! What the ledger holds, as JSON says it.

use callmeter_core::domain::{
    AccountId, AccountStatus, Money, TransactionKind, TransactionStatus, TransactionType,
    TwilioAccountSid,
};
use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::csv::Line;
use super::openapi::schema;
use crate::ledger::accounts::{Account, OnRedisLoss};
use crate::ledger::history::{ChargedCall, Transaction};

/// An account.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Account)]
pub(crate) struct AccountJson {
    #[schema(value_type = schema::AccountId)]
    id: AccountId,
    name: String,
    email: Option<String>,
    #[schema(value_type = schema::AccountStatus)]
    status: AccountStatus,
    /// The first of them.
    #[schema(value_type = Option<schema::TwilioAccountSid>)]
    twilio_account_sid: Option<TwilioAccountSid>,
    #[schema(value_type = Vec<schema::TwilioAccountSid>)]
    twilio_account_sids: Vec<TwilioAccountSid>,
    #[schema(value_type = schema::Amount)]
    credit_limit: Money,
    #[schema(value_type = schema::OnRedisLoss)]
    on_redis_loss: OnRedisLoss,
    #[schema(value_type = schema::Amount)]
    redis_loss_cap: Money,
    calls_in_progress_max: Option<i32>,
    created_at: DateTime<Utc>,
}

impl From<Account> for AccountJson {
    fn from(account: Account) -> Self {
        Self {
            id: account.id,
            name: account.name,
            email: account.email,
            status: account.status,
            twilio_account_sid: account.twilio_account_sids.first().cloned(),
            twilio_account_sids: account.twilio_account_sids,
            credit_limit: account.credit_limit,
            on_redis_loss: account.on_redis_loss,
            redis_loss_cap: account.redis_loss_cap,
            calls_in_progress_max: account.calls_in_progress_max,
            created_at: account.created_at,
        }
    }
}

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
    /// Writes it as a line of CSV, its fields in the order of the JSON.
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

/// Writes an instant as JSON does.
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
    /// Writes it as a line of CSV, its fields in the order of the JSON.
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

/// A transaction's id outside: made of the account's key and the number in its ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TransactionId {
    pub(super) account_key: i32,
    pub(super) sequence: i64,
}

impl std::fmt::Display for TransactionId {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "txn_{}_{}", self.account_key, self.sequence)
    }
}

impl std::str::FromStr for TransactionId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (account_key, sequence) = text.strip_prefix("txn_")?.split_once('_')?;
            let id =
                Self { account_key: account_key.parse().ok()?, sequence: sequence.parse().ok()? };
            (id.to_string() == text).then_some(id)
        };
        parse().ok_or("is no transaction id, such as txn_12_345")
    }
}

#[cfg(test)]
mod tests {
    use super::TransactionId;

    #[test]
    fn a_transaction_id_is_read_back_from_its_one_spelling_only() {
        let id = TransactionId { account_key: 12, sequence: 345 };
        assert_eq!(id.to_string().parse(), Ok(id));
        for wrong in ["", "txn_", "txn_12", "txn_12_", "txn_012_345", "txn_12_+5", "12_345"] {
            assert!(wrong.parse::<TransactionId>().is_err(), "{wrong}");
        }
    }
}
