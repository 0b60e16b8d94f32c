//! A row of the ledger as the page lists it, with its evidence.

use std::collections::HashMap;

use callmeter_core::domain::{TransactionKind, TransactionStatus, TransactionType};

use super::decline::{self, Decline};
use super::money::{exact, grouped, signed};
use super::time::{Time, length};
use crate::ledger::entries::{Entry, Evidence};
use crate::ledger::history::Transaction;
use crate::ledger::payments::refills::Refill;

/// A row of a list.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) sequence: i64,
    pub(super) title: &'static str,
    /// What it was for.
    pub(super) about: String,
    pub(super) minute: Time,
    pub(super) second: Time,
    pub(super) direction: &'static str,
    pub(super) status: &'static str,
    /// The tone of the status: `good`, `info` or `bad`.
    pub(super) tone: &'static str,
    pub(super) amount: String,
    /// False: it moved no money.
    pub(super) has_moved: bool,
    pub(super) is_credit: bool,
    pub(super) before: String,
    pub(super) after: String,
    pub(super) payment: Option<String>,
    /// The page of its refill.
    pub(super) refill: Option<String>,
    pub(super) refers_to: Option<i64>,
    pub(super) evidence: Option<Proof>,
    pub(super) is_open: bool,
}

/// The evidence of a charged call.
#[derive(Clone, Debug)]
pub(super) struct Proof {
    pub(super) from: String,
    pub(super) to: String,
    pub(super) direction: String,
    pub(super) started: Time,
    pub(super) lasted: String,
    pub(super) twilio: Option<i32>,
    pub(super) tag: Option<String>,
    pub(super) billed: String,
    pub(super) plan_paid: Option<String>,
    pub(super) plan_before: String,
    pub(super) wallet_paid: String,
    pub(super) rate: String,
    pub(super) amount: String,
    pub(super) plan: Option<String>,
    pub(super) price_list: i32,
    pub(super) cycle: Option<Time>,
    pub(super) prefix: Option<String>,
    pub(super) number: String,
    pub(super) event: Option<String>,
    pub(super) call_sid: String,
    pub(super) parent: Option<String>,
}

/// The refills that rows belong to, by the numbers of their rows.
#[derive(Debug, Default)]
pub(super) struct Refills(HashMap<i64, Refill>);

impl Refills {
    pub(super) fn new(refills: impl IntoIterator<Item = Refill>) -> Self {
        let rows = refills.into_iter().flat_map(|refill| {
            let numbers = [Some(refill.pending_sequence), refill.outcome_sequence];
            numbers.into_iter().flatten().map(move |number| (number, refill.clone()))
        });
        Self(rows.collect())
    }
}

impl Row {
    /// A row as a customer sees it, or an operator, who sees no card.
    pub(super) fn new(entry: Entry, refills: &Refills, is_operator: bool) -> Self {
        let Entry { transaction: row, charge } = entry;
        let refill = refills.0.get(&row.sequence);
        let about = match (&charge, refill) {
            (Some(charge), _) => about_call(charge),
            (None, Some(refill)) => about_refill(&row, refill, is_operator),
            (None, None) => row.description.clone().unwrap_or_default(),
        };
        let is_credit = row.direction == TransactionType::Credit;
        let has_moved = row.status == TransactionStatus::Completed;
        let (status, tone) = match row.status {
            TransactionStatus::Completed => ("Completed", "good"),
            TransactionStatus::Pending => ("Pending", "info"),
            TransactionStatus::Failed => ("Failed", "bad"),
        };
        Self {
            sequence: row.sequence,
            title: title(row.kind),
            about,
            minute: Time::minute(row.at),
            second: Time::second(row.at),
            direction: if is_credit { "Credit" } else { "Debit" },
            status,
            tone,
            amount: if has_moved { signed(row.direction, row.amount) } else { exact(row.amount) },
            has_moved,
            is_credit,
            before: exact(row.balance_before),
            after: exact(row.balance_after),
            payment: row.payment_intent_id,
            refill: refill.map(|refill| refill.id.to_string()),
            // The outcome of a refill names its pending row, for which it stands.
            refers_to: row.refers_to.filter(|_| refill.is_none()),
            evidence: charge.map(Proof::new),
            is_open: false,
        }
    }
}

/// What customers call a kind of row.
pub(super) const fn title(kind: TransactionKind) -> &'static str {
    match kind {
        TransactionKind::RefillManual => "Wallet refill",
        TransactionKind::RefillAuto => "Automatic refill",
        TransactionKind::Refund => "Refund",
        TransactionKind::ChargebackReversal => "Chargeback reversal",
        TransactionKind::RefillRefundReversal => "Refund to card returned",
        TransactionKind::AdjustmentCredit => "Adjustment in your favour",
        TransactionKind::Call => "Call",
        TransactionKind::Overage => "Overage call",
        TransactionKind::NumberPurchase => "Number purchase",
        TransactionKind::NumberRental => "Monthly number fee",
        TransactionKind::RefillRefund => "Refund to card",
        TransactionKind::Chargeback => "Chargeback",
        TransactionKind::AdjustmentDebit => "Adjustment",
    }
}

fn about_call(charge: &Evidence) -> String {
    let call = &charge.call;
    let is_inbound = call.direction.as_deref() == Some("inbound");
    let end = if is_inbound { &call.from } else { &call.to };
    let word = if is_inbound { "from" } else { "to" };
    let end = end.as_deref().unwrap_or("an unknown number");
    let (lasted, billed) = (length(call.seconds.into()), length(call.billed_seconds.into()));
    let tag = call.tag.as_deref().map(|tag| format!(" · {tag}")).unwrap_or_default();
    format!("{word} {end} · {lasted}, billed {billed}{tag}")
}

fn about_refill(row: &Transaction, refill: &Refill, is_operator: bool) -> String {
    let card = refill.card.as_ref().filter(|_| !is_operator).map(decline::face);
    let card = card.unwrap_or_else(|| "by card".to_owned());
    match Decline::of(refill).filter(|_| row.status == TransactionStatus::Failed) {
        Some(decline) => format!("{card} · {}", decline.answer),
        None => card,
    }
}

impl Proof {
    /// The evidence of a charge.
    pub(super) fn new(charge: Evidence) -> Self {
        let call = charge.call;
        let seconds = |seconds: i32| length(seconds.into());
        let event = charge.topic.zip(charge.partition);
        let plan_paid = (call.allowance_seconds > 0).then(|| seconds(call.allowance_seconds));
        Self {
            from: call.from.unwrap_or_else(|| "unknown".to_owned()),
            to: call.to.unwrap_or_else(|| "unknown".to_owned()),
            direction: call.direction.unwrap_or_else(|| "unknown".to_owned()),
            started: Time::second(call.started_at),
            lasted: format!("{} s", call.seconds),
            twilio: charge.twilio_minutes,
            tag: call.tag,
            billed: seconds(call.billed_seconds),
            plan_paid,
            plan_before: length(charge.allowance_before_seconds),
            wallet_paid: seconds(call.wallet_seconds),
            rate: exact(call.rate_per_minute),
            amount: exact(call.amount),
            plan: call.plan,
            price_list: charge.catalog_version,
            cycle: call.cycle_start.map(Time::minute),
            prefix: charge.matched_prefix,
            number: grouped(call.charge_sequence.unsigned_abs()),
            event: event.map(|(topic, partition)| {
                format!("{topic} {partition} @ {}", charge.record_offset)
            }),
            call_sid: call.call_sid,
            parent: call.parent_call_sid,
        }
    }
}
