//! Phase 3: computes charges and rejects of a batch in the order of offsets. No I/O.

use callmeter_core::domain::account::overshoot;
use callmeter_core::domain::money::Money;
use callmeter_core::domain::transaction::{TransactionKind, TransactionStatus};
use callmeter_core::policy::budget::spending_of;
use callmeter_core::rating::{rate, terms_in};
use chrono::{DateTime, Utc};
use foldhash::{HashMap, HashMapExt, HashSet, HashSetExt};

use super::calls::{Identity, Place};
use super::load::{CycleKey, KnownRental, RentalIdentity, Snapshot};
use super::owner::Owner;
use super::rows::{ChargeRow, RejectRow, Rows, StillRejected, TransactionRow};
use super::{ChargingPolicy, Committed, Outcome, Source};
use crate::ingest::batch::Batch;
use crate::ingest::decode::{self, CallEnded, Event, RejectReason, Rejection, Subject};
use crate::ingest::record::Record;
use crate::ledger::wallets::WalletHead;

/// The books of one batch: running balances and allowances, and the rows to write.
pub(super) struct Books<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) policy: &'a ChargingPolicy,
    source: Source<'a>,
    batch: &'a Batch,
    pub(super) now: DateTime<Utc>,
    keep_values: bool,
    pub(super) wallets: HashMap<i32, WalletHead>,
    pub(super) touched_wallets: HashSet<i32>,
    /// Cycles that this batch used, with the seconds used after it.
    cycles: HashMap<CycleKey, u64>,
    /// By place: the seconds charged for a call, before this batch or by it.
    charged: Vec<Option<i32>>,
    pub(super) rentals: HashMap<RentalIdentity, KnownRental>,
    conflicts: HashMap<String, usize>,
    pub(super) rows: Rows<'a>,
    pub(super) committed: Committed,
    /// Offsets of the rejected records whose bytes are still to be read.
    unread: Vec<i64>,
}

/// The outcome of one event, or why it is rejected.
pub(super) type Entered = Result<Outcome, Rejection>;

impl<'a> Books<'a> {
    pub(super) fn new(
        snapshot: &'a Snapshot,
        policy: &'a ChargingPolicy,
        source: Source<'a>,
        batch: &'a Batch,
        now: DateTime<Utc>,
        keep_values: bool,
    ) -> Self {
        Self {
            snapshot,
            policy,
            source,
            batch,
            now,
            keep_values,
            wallets: snapshot.wallets.clone(),
            touched_wallets: HashSet::new(),
            cycles: HashMap::new(),
            charged: snapshot.calls.charged().to_vec(),
            rentals: HashMap::new(),
            conflicts: HashMap::new(),
            rows: Rows::for_calls(snapshot.calls.charged().len()),
            committed: Committed::default(),
            unread: Vec::new(),
        }
    }

    /// Enters every record.
    pub(super) fn enter_all(&mut self) {
        let batch = self.batch;
        self.committed.outcomes.reserve_exact(batch.records.len());
        for (index, record) in batch.records.iter().enumerate() {
            let entered = match &record.event {
                Event::CallEnded(ended) => self.enter_call(index, record, ended),
                Event::RentalDue(rental) => self.enter_rental(index, record, rental),
                Event::CallSignalled(_) => Ok(Outcome::NotBillable),
                Event::Skipped => Ok(Outcome::Skipped),
                Event::Rejected(rejection) => Err(rejection.clone()),
            };
            let outcome = match entered {
                Ok(outcome) => outcome,
                Err(rejection) => {
                    self.push_reject(record, rejection, None);
                    Outcome::Rejected
                }
            };
            self.note_replay(outcome);
            self.committed.outcomes.push(outcome);
        }
    }

    /// Returns the rows and the totals; or, if the bytes of rejected records are needed first, their
    /// offsets.
    pub(super) fn close(mut self) -> Result<(Rows<'a>, Committed), Vec<i64>> {
        if !self.unread.is_empty() {
            return Err(self.unread);
        }
        let touched = &self.touched_wallets;
        let mut wallets: Vec<WalletHead> =
            self.wallets.into_values().filter(|head| touched.contains(&head.account_key)).collect();
        wallets.sort_unstable_by_key(|head| head.account_key);
        self.rows.wallets = wallets;
        self.rows.cycles = self.cycles.into_iter().collect();
        self.rows.cycles.sort_unstable();
        self.committed.wallets =
            super::change::of_wallets(&self.rows, &self.snapshot.wallets, &self.snapshot.ids);
        Ok((self.rows, self.committed))
    }

    fn enter_call(&mut self, index: usize, record: &'a Record, ended: &'a CallEnded) -> Entered {
        let call = &ended.call;
        let (place, identity) = self
            .snapshot
            .calls
            .of_record(index)
            .ok_or_else(|| unknown_account(ended.twilio_account_sid.as_str()))?;
        let seconds = i32::try_from(call.seconds).map_err(|_| beyond_range("CallDuration"))?;
        if let Some(charged) = self.charged[place as usize] {
            if charged == seconds {
                return Ok(Outcome::Duplicate);
            }
            let key = format!("call {} {} {seconds}", ended.twilio_account_sid, call.call_sid);
            let detail = format!(
                "call {} was charged with {charged} s, and came again with {seconds} s",
                call.call_sid
            );
            return Ok(self.keep_conflict(record, key, detail));
        }
        self.charge(record, ended, place, identity)?;
        self.charged[place as usize] = Some(seconds);
        Ok(Outcome::Charged)
    }

    /// Charges a call that the ledger does not have; on an error nothing is entered.
    fn charge(
        &mut self,
        record: &'a Record,
        ended: &'a CallEnded,
        place: Place,
        identity: &'a Identity,
    ) -> Result<(), Rejection> {
        let (call, owner) = (&ended.call, identity.owner);
        let started_at = call.started_at();
        let snapshot = self.snapshot;
        let in_force = snapshot.timeline(owner.account_key).in_force(started_at);
        let cycle_key = in_force.map(|it| (owner.account_key, it.subscription.id, it.cycle.start));
        let used = cycle_key.map_or(0, |key| {
            self.cycles.get(&key).or_else(|| snapshot.cycles.get(&key)).copied().unwrap_or_default()
        });
        let invalid = |error: &dyn std::fmt::Display| Rejection::invalid(error.to_string());
        let terms = terms_in(&snapshot.catalogs, in_force, started_at).map_err(|e| invalid(&e))?;
        let price = rate(call, &terms, used, self.policy.zero_duration_completed)
            .map_err(|e| invalid(&e))?;
        let head = wallet(&mut self.wallets, owner.account_key)?;
        let before = head.balance;
        let after = head.debited(price.amount).ok_or_else(|| beyond_range("the balance"))?;
        let overshoot = overshoot(before, after, head.credit_limit);
        let at = self.now.max(head.last_at);
        head.last_at = at;
        head.version += 1;
        head.charge_sequence += 1;
        let transaction_sequence = if price.amount.is_zero() {
            None
        } else {
            head.sequence += 1;
            head.balance = after;
            let status = TransactionStatus::Completed;
            let spends = spending_of(price.kind, status, price.amount);
            self.rows.crossings.note(head.moved_from(before, spends));
            self.rows.transactions.push(TransactionRow {
                account_key: owner.account_key,
                sequence: head.sequence,
                at,
                amount: price.amount,
                balance_before: before,
                balance_after: after,
                kind: price.kind,
                status,
                description: None,
                call_sid: Some(call.call_sid.as_str()),
            });
            Some(head.sequence)
        };
        let charge_sequence = head.charge_sequence;
        if let Some(key) = cycle_key {
            self.cycles.insert(key, used + u64::from(price.allowance_seconds));
        }
        self.touched_wallets.insert(owner.account_key);
        self.tally(ended, &price, overshoot);
        self.rows.charges.push(ChargeRow {
            owner,
            charge_sequence,
            charged_at: at,
            started_at,
            cycle_start: cycle_key.map(|key| key.2),
            subscription: cycle_key.map(|key| key.1),
            plan: terms.plan().map(|plan| &plan.id),
            catalog_version: terms.version().0,
            price,
            overshoot,
            transaction_sequence,
            record_offset: record.offset,
            call,
            tag: call.tag.as_deref().or_else(|| snapshot.tag(owner.account_key, call)),
            place,
            call_key: &identity.key,
        });
        Ok(())
    }

    fn tally(&mut self, ended: &CallEnded, price: &callmeter_core::rating::Price, over: Money) {
        let sums = &mut self.committed;
        let sum = match price.kind {
            TransactionKind::Overage => &mut sums.overage_amount,
            _ => &mut sums.call_amount,
        };
        *sum = saturating_sum(*sum, price.amount);
        sums.overshoot = saturating_sum(sums.overshoot, over);
        sums.ended_at.push(ended.call.ended_at);
        let told = ended.call.twilio_minutes;
        if told.is_some_and(|minutes| minutes != ended.call.seconds.div_ceil(60)) {
            sums.duration_mismatches += 1;
        }
    }

    /// The owner of a record that names `sid`.
    pub(super) fn owner(&self, index: usize, sid: &str) -> Result<Owner, Rejection> {
        let owner = self.snapshot.owners.get(index).copied().flatten();
        owner.ok_or_else(|| unknown_account(sid))
    }

    /// Keeps a conflict once; each repetition only raises its count.
    pub(super) fn keep_conflict(
        &mut self,
        record: &'a Record,
        key: String,
        detail: String,
    ) -> Outcome {
        if let Some(&index) = self.conflicts.get(&key) {
            self.rows.rejects[index].count += 1;
            return Outcome::Conflict;
        }
        let rejection = Rejection { reason: RejectReason::Conflict, detail };
        if self.push_reject(record, rejection, Some(key.clone())) {
            self.conflicts.insert(key, self.rows.rejects.len() - 1);
        }
        Outcome::Conflict
    }

    /// Adds a row, unless it is a replayed record, which has its row already.
    fn push_reject(
        &mut self,
        record: &'a Record,
        why: Rejection,
        conflict: Option<String>,
    ) -> bool {
        let Rejection { reason, detail } = why;
        let detail = detail.replace('\0', "\u{fffd}");
        if let Source::Replay { reject_id: id, .. } = self.source {
            let conflict_key = conflict;
            let still = StillRejected { id, reason, detail, conflict_key };
            self.rows.still_rejected.push(still);
            return false;
        }
        if record.is_in_kafka() {
            self.unread.push(record.offset);
            return false;
        }
        self.committed.rejects_without_bytes += u64::from(record.is_lost());
        let value = self.batch.value(record);
        let named = || match &record.event {
            Event::CallEnded(ended) => Subject {
                twilio_account_sid: Some(ended.twilio_account_sid.clone()),
                call_sid: Some(ended.call.call_sid.clone()),
            },
            _ => Subject::default(),
        };
        self.rows.rejects.push(RejectRow {
            record_offset: record.offset,
            record_at: record.record_at,
            reason,
            detail,
            conflict_key: conflict,
            count: 1,
            key: self.batch.key(record),
            value: value.filter(|_| self.keep_values),
            value_bytes: i32::try_from(value.map_or(0, <[u8]>::len)).unwrap_or(i32::MAX),
            subject: value.map_or_else(named, decode::subject),
        });
        true
    }

    fn note_replay(&mut self, outcome: Outcome) {
        let Source::Replay { reject_id, .. } = self.source else { return };
        if !matches!(outcome, Outcome::Rejected | Outcome::Conflict) {
            self.rows.replayed.push(reject_id);
        }
    }
}

fn unknown_account(sid: &str) -> Rejection {
    Rejection {
        reason: RejectReason::UnknownAccount,
        detail: format!("no account has AccountSid {sid}"),
    }
}

pub(super) fn wallet(
    wallets: &mut HashMap<i32, WalletHead>,
    account_key: i32,
) -> Result<&mut WalletHead, Rejection> {
    wallets.get_mut(&account_key).ok_or_else(|| Rejection::invalid("the account has no wallet"))
}

pub(super) fn beyond_range(what: &str) -> Rejection {
    Rejection::invalid(format!("{what} is beyond the range of amounts"))
}

/// For sums of a batch in metrics and reports; the ledger's own sums are checked.
pub(super) fn saturating_sum(sum: Money, amount: Money) -> Money {
    Money::from_micros(sum.micros().saturating_add(amount.micros()))
}
