//! The rows that a batch writes, by table.

use callmeter_core::domain::call::Call;
use callmeter_core::domain::ids::{CallSid, PlanId, TwilioAccountSid};
use callmeter_core::domain::money::Money;
use callmeter_core::domain::subscription::SubscriptionId;
use callmeter_core::domain::transaction::{TransactionKind, TransactionStatus};
use callmeter_core::rating::Price;
use chrono::{DateTime, Utc};

use super::calls::Place;
use super::load::CycleKey;
use super::owner::Owner;
use crate::ingest::decode::{RejectReason, RentalDue, Subject};
use crate::ledger::call_key::CallKey;
use crate::ledger::crossings::Crossings;
use crate::ledger::wallets::WalletHead;

/// All rows of a batch.
#[derive(Debug, Default)]
pub(super) struct Rows<'a> {
    pub charges: Vec<ChargeRow<'a>>,
    pub transactions: Vec<TransactionRow<'a>>,
    pub rentals: Vec<RentalRow<'a>>,
    pub rejects: Vec<RejectRow<'a>>,
    pub wallets: Vec<WalletHead>,
    pub cycles: Vec<(CycleKey, u64)>,
    /// Facts for the outbox, and auto-refills that must look.
    pub crossings: Crossings,
    /// Rejects that a replay settled, and those that stay, with their current reason.
    pub replayed: Vec<i64>,
    pub still_rejected: Vec<StillRejected>,
}

impl Rows<'_> {
    /// No rows, with room for those of this many calls.
    pub(super) fn for_calls(count: usize) -> Self {
        let (charges, transactions) = (Vec::with_capacity(count), Vec::with_capacity(count));
        Self { charges, transactions, ..Self::default() }
    }

    /// The charges by account and number, so that Postgres writes neighbours together. They were
    /// entered in the order of their numbers.
    pub(super) fn charges_by_account(&self) -> impl Iterator<Item = &ChargeRow<'_>> {
        in_order(&self.charges, |row| row.owner.account_key.cast_unsigned())
    }

    /// The charges in the order of the batch's calls, which is that of the index of `call_keys`.
    pub(super) fn charges_by_call(&self) -> impl Iterator<Item = &ChargeRow<'_>> {
        in_order(&self.charges, |row| row.place)
    }

    /// The transactions by account and number; they were entered in the order of their numbers.
    pub(super) fn transactions_by_account(&self) -> impl Iterator<Item = &TransactionRow<'_>> {
        in_order(&self.transactions, |row| row.account_key.cast_unsigned())
    }
}

/// Rows ordered by a key; equal keys keep their order. Sorts indexes, not the wide rows.
fn in_order<T>(rows: &[T], key: impl Fn(&T) -> u32) -> impl Iterator<Item = &T> {
    let mut places: Vec<(u32, u32)> = rows.iter().map(key).zip(0..).collect();
    places.sort_unstable();
    places.into_iter().filter_map(|(_, place)| rows.get(place as usize))
}

/// The evidence of a charged call.
#[derive(Debug)]
pub(super) struct ChargeRow<'a> {
    pub owner: Owner,
    pub charge_sequence: i64,
    pub charged_at: DateTime<Utc>,
    pub started_at: DateTime<Utc>,
    pub cycle_start: Option<DateTime<Utc>>,
    pub subscription: Option<SubscriptionId>,
    pub plan: Option<&'a PlanId>,
    pub catalog_version: i32,
    pub price: Price,
    pub overshoot: Money,
    pub transaction_sequence: Option<i64>,
    pub record_offset: i64,
    pub call: &'a Call,
    pub tag: Option<&'a str>,
    /// Its place among the batch's calls.
    pub place: Place,
    pub call_key: &'a CallKey,
}

/// A movement of a wallet, or a failed attempt at one.
#[derive(Debug)]
pub(super) struct TransactionRow<'a> {
    pub account_key: i32,
    pub sequence: i64,
    pub at: DateTime<Utc>,
    pub amount: Money,
    pub balance_before: Money,
    pub balance_after: Money,
    pub kind: TransactionKind,
    pub status: TransactionStatus,
    pub description: Option<String>,
    pub call_sid: Option<&'a str>,
}

/// A rental period that is new to the ledger.
#[derive(Debug)]
pub(super) struct RentalRow<'a> {
    pub account_key: i32,
    pub rental: &'a RentalDue,
    pub price: Money,
    pub is_paid: bool,
    pub attempted_at: DateTime<Utc>,
    pub next_attempt_at: Option<DateTime<Utc>>,
    pub sequence: Option<i64>,
}

/// A rejected record.
#[derive(Debug)]
pub(super) struct RejectRow<'a> {
    pub record_offset: i64,
    pub record_at: Option<DateTime<Utc>>,
    pub reason: RejectReason,
    pub detail: String,
    pub conflict_key: Option<String>,
    pub count: i64,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub value_bytes: i32,
    pub subject: Subject,
}

impl RejectRow<'_> {
    /// `AccountSid` if readable: from the record, else from its key.
    pub(super) fn account_sid(&self) -> Option<&str> {
        let of_key = || self.key.and_then(|key| str::from_utf8(key).ok());
        let of_key = || of_key().filter(|key| TwilioAccountSid::parse(key).is_ok());
        let of_record = self.subject.twilio_account_sid.as_ref().map(TwilioAccountSid::as_str);
        of_record.or_else(of_key)
    }

    /// `CallSid` if readable.
    pub(super) fn call_sid(&self) -> Option<&str> {
        self.subject.call_sid.as_ref().map(CallSid::as_str)
    }
}

/// A rejected record that a replay did not settle.
#[derive(Debug)]
pub(super) struct StillRejected {
    pub id: i64,
    pub reason: RejectReason,
    pub detail: String,
    pub conflict_key: Option<String>,
}
