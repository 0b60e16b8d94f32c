//! The API's reports of a charge and of a transaction, parsed strictly.

use super::money::{self, Micros};
use super::time::{At, parse_rfc3339};
use anyhow::{Context as _, Result, bail};
use serde_json::Value;

/// One item of `GET /v1/accounts/{id}/calls`.
#[derive(Clone, Debug)]
pub(crate) struct Charge {
    pub(crate) call_sid: String,
    pub(crate) parent_call_sid: Option<String>,
    pub(crate) from: Option<String>,
    pub(crate) to: Option<String>,
    pub(crate) direction: Option<String>,
    pub(crate) started_at: At,
    pub(crate) seconds: i64,
    pub(crate) billed_seconds: i64,
    pub(crate) allowance_seconds: i64,
    pub(crate) wallet_seconds: i64,
    pub(crate) rate: Micros,
    pub(crate) amount: Micros,
    pub(crate) plan: Option<String>,
    pub(crate) cycle_start: Option<At>,
    /// Its number among the account's charges.
    pub(crate) number: i64,
    pub(crate) transaction_id: Option<String>,
}

/// One item of `GET /v1/accounts/{id}/transactions`.
#[derive(Clone, Debug)]
pub(crate) struct Transaction {
    pub(crate) id: String,
    pub(crate) sequence: i64,
    pub(crate) at: At,
    pub(crate) credit: bool,
    pub(crate) kind: String,
    pub(crate) amount: Micros,
    pub(crate) balance_before: Micros,
    pub(crate) balance_after: Micros,
    pub(crate) status: String,
    pub(crate) call_sid: Option<String>,
}

impl Charge {
    pub(crate) fn parse(item: &Value) -> Result<Charge> {
        Ok(Charge {
            call_sid: string(item, "call_sid")?,
            parent_call_sid: optional(item, "parent_call_sid")?,
            from: optional(item, "from")?,
            to: optional(item, "to")?,
            direction: optional(item, "direction")?,
            started_at: instant(item, "started_at")?,
            seconds: integer(item, "seconds")?,
            billed_seconds: integer(item, "billed_seconds")?,
            allowance_seconds: integer(item, "allowance_seconds")?,
            wallet_seconds: integer(item, "wallet_seconds")?,
            rate: amount(item, "rate_per_minute")?,
            amount: amount(item, "amount")?,
            plan: optional(item, "plan")?,
            cycle_start: match optional(item, "cycle_start")? {
                Some(_) => Some(instant(item, "cycle_start")?),
                None => None,
            },
            number: integer(item, "charge_sequence")?,
            transaction_id: optional(item, "transaction_id")?,
        })
    }
}

impl Transaction {
    pub(crate) fn parse(item: &Value) -> Result<Transaction> {
        let credit = match string(item, "type")?.as_str() {
            "credit" => true,
            "debit" => false,
            other => bail!("type {other:?} in {item}"),
        };
        for key in ["description", "payment_intent_id", "refers_to"] {
            item.get(key).with_context(|| format!("no {key} in {item}"))?;
        }
        Ok(Transaction {
            id: string(item, "id")?,
            sequence: integer(item, "sequence")?,
            at: instant(item, "at")?,
            credit,
            kind: string(item, "kind")?,
            amount: amount(item, "amount")?,
            balance_before: amount(item, "balance_before")?,
            balance_after: amount(item, "balance_after")?,
            status: string(item, "status")?,
            call_sid: optional(item, "call_sid")?,
        })
    }
}

pub(crate) fn string(item: &Value, key: &str) -> Result<String> {
    let text = item.get(key).and_then(Value::as_str);
    text.map(str::to_owned).with_context(|| format!("{key} is no text in {item}"))
}

/// A text or null; the key must be present.
fn optional(item: &Value, key: &str) -> Result<Option<String>> {
    match item.get(key) {
        Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        _ => bail!("{key} is neither text nor null in {item}"),
    }
}

pub(crate) fn integer(item: &Value, key: &str) -> Result<i64> {
    let number = item.get(key).and_then(Value::as_i64);
    number.with_context(|| format!("{key} is no integer in {item}"))
}

pub(crate) fn instant(item: &Value, key: &str) -> Result<At> {
    let text = string(item, key)?;
    parse_rfc3339(&text).with_context(|| format!("{key} is no instant in UTC: {text:?}"))
}

pub(crate) fn amount(item: &Value, key: &str) -> Result<Micros> {
    let text = string(item, key)?;
    money::parse(&text).with_context(|| format!("{key} is no amount with six places: {text:?}"))
}
