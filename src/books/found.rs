//! A comparison in progress: its sums and differences, and the report of them.

use std::collections::{HashMap, HashSet};

use callmeter_core::domain::Money;

use super::compare::{Difference, of_cents};
use super::payouts::Payouts;
use super::report::{Counts, NotPaidOut, Report, Settling};
use super::theirs::{Returns, is_good};
use crate::reconcile::DayRange;
use crate::stripe::ListedPayment;

/// A comparison in progress.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) counts: Counts,
    payments: i64,
    refunds: Money,
    disputes: Money,
    settling: Settling,
    pub(super) differences: Vec<Difference>,
    /// Payments of this ledger that succeeded.
    pub(super) seen: HashSet<String>,
    /// Their charges, with the cents paid.
    charges: HashMap<String, i64>,
}

impl Found {
    /// Adds a payment to the sums.
    pub(super) fn add_up(&mut self, payment: &ListedPayment, returns: &Returns) {
        self.seen.insert(payment.id.clone());
        self.counts.payments += 1;
        if payment.currency == "usd" {
            self.payments = self.payments.saturating_add(payment.amount_received);
        }
        if let Some(charge) = &payment.latest_charge {
            self.charges.insert(charge.id.clone(), payment.amount_received);
        }
        match payment.settled() {
            Some(row) => self.settling.add(row, Some(payment.amount_received)),
            None => self.counts.without_fee += 1,
        }
        let theirs = returns.with(payment);
        for refund in theirs.refunds.iter().filter(|refund| refund.is_good) {
            self.counts.refunds += 1;
            plus(&mut self.refunds, refund.moved.amount);
        }
        for dispute in theirs.disputes {
            if let (Some(withdrawn), None) = (dispute.withdrawn, dispute.reinstated) {
                self.counts.disputes += 1;
                plus(&mut self.disputes, withdrawn.amount);
            }
        }
        for refund in returns.refunds.get(&payment.id).into_iter().flatten() {
            let row = refund.balance_transaction.as_ref().and_then(|row| row.object());
            if let Some(row) = row.filter(|_| is_good(refund)) {
                self.settling.add(row, None);
            }
        }
        for dispute in returns.disputes.get(&payment.id).into_iter().flatten() {
            for row in &dispute.balance_transactions {
                self.settling.add(row, None);
            }
        }
    }
}

/// Sums up a comparison.
pub(super) fn report(range: DayRange, found: Found, payouts: Payouts) -> Report {
    let mut differences = found.differences;
    differences.sort_by(|a, b| {
        (a.paid_at, &a.payment_intent, a.reason).cmp(&(b.paid_at, &b.payment_intent, b.reason))
    });
    let mut drift = Money::ZERO;
    for difference in &differences {
        plus(&mut drift, difference.drift());
    }
    let mut not_paid_out = NotPaidOut::default();
    for (_, cents) in found.charges.iter().filter(|(id, _)| !payouts.charges.contains(*id)) {
        not_paid_out.payments += 1;
        plus(&mut not_paid_out.amount, of_cents(*cents));
    }
    let settled = found.settling.rows();
    let dollars = settled.iter().find(|settled| settled.currency == "usd");
    Report {
        from: range.first,
        to: range.last,
        payments: of_cents(found.payments),
        refunds: found.refunds,
        disputes: found.disputes,
        fees: dollars.map_or(Money::ZERO, |dollars| dollars.fees),
        net: dollars.map_or(Money::ZERO, |dollars| dollars.net),
        counts: found.counts,
        settled,
        differences,
        drift,
        payouts: payouts.rows,
        not_paid_out,
    }
}

fn plus(sum: &mut Money, more: Money) {
    *sum = Money::from_micros(sum.micros().saturating_add(more.micros()));
}
