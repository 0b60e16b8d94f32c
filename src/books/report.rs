//! The result of a comparison, as shown.

use std::collections::BTreeMap;

use callmeter_core::domain::Money;
use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;

use super::compare::{Difference, of_cents, of_units};
use crate::stripe::BalanceTransaction;

/// The whole result. Amounts are dollars where no currency stands beside them.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// First UTC day of the payments' creation.
    pub from: NaiveDate,
    /// Last UTC day, included.
    pub to: NaiveDate,
    /// What was paid at Stripe.
    pub payments: Money,
    /// What went back of it, by refunds that did not fail.
    pub refunds: Money,
    /// What disputes took of it and did not give back.
    pub disputes: Money,
    /// Stripe's fees for all that, those in dollars.
    pub fees: Money,
    /// What is left of it in the balance at Stripe, in dollars.
    pub net: Money,
    /// How many there are.
    pub counts: Counts,
    /// The same as Stripe settled it, by the balance's currency.
    pub settled: Vec<Settled>,
    /// Each difference with its reason.
    pub differences: Vec<Difference>,
    /// The sum of the differences, the signs left out.
    pub drift: Money,
    /// Payouts that Stripe made on these days.
    pub payouts: Vec<PayoutRow>,
    /// Payments of these days that no payout of these days contains.
    pub not_paid_out: NotPaidOut,
}

/// Numbers of the objects behind the sums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Payments.
    pub payments: u64,
    /// Refunds.
    pub refunds: u64,
    /// Disputes that took money and did not give it back.
    pub disputes: u64,
    /// Payments of the last ten minutes: a difference of theirs is none yet.
    pub under_way: u64,
    /// Payments whose fee Stripe does not tell yet.
    pub without_fee: u64,
}

/// Movements of the balance at Stripe in one currency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Settled {
    /// Lower case.
    pub currency: String,
    /// What was paid, in dollars, as far as it is in `gross`: the rate is gross by paid.
    pub paid: Money,
    /// The same in this currency.
    pub gross: Money,
    /// Stripe's fees for payments, refunds and disputes.
    pub fees: Money,
    /// What was added to the balance, refunds and disputes taken off.
    pub net: Money,
}

/// Payments that lie across the end of the days.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct NotPaidOut {
    /// How many.
    pub payments: u64,
    /// What was paid.
    pub amount: Money,
}

/// One payout; its sums are in its currency.
#[derive(Clone, Debug, Serialize)]
pub struct PayoutRow {
    /// `po_…`
    pub payout: String,
    /// Lower case.
    pub currency: String,
    /// What reaches the bank.
    pub amount: Money,
    /// Stripe's word.
    pub status: String,
    /// False: made by hand, and Stripe does not tell what it contains.
    pub automatic: bool,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it reaches the bank.
    pub arrives_at: DateTime<Utc>,
    /// What it contains of this ledger's payments.
    pub ours: Sums,
    /// What it contains of others.
    pub others: Sums,
    /// The gross of this ledger's payments in it that were made before these days.
    pub earlier: Money,
}

/// Sums of rows of the balance: `gross - refunds - disputes + other - fees = net`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sums {
    /// Payments.
    pub gross: Money,
    /// Stripe's fees.
    pub fees: Money,
    /// Refunds, those that failed taken off.
    pub refunds: Money,
    /// Disputes, those that were won taken off.
    pub disputes: Money,
    /// Everything else, such as fees that Stripe bills apart.
    pub other: Money,
    /// All together.
    pub net: Money,
}

/// What Stripe settled, by currency, while it is added up.
#[derive(Clone, Debug, Default)]
pub(super) struct Settling(BTreeMap<String, [i64; 4]>);

impl Settling {
    /// Adds a row of the balance, and the cents that were paid with it.
    pub(super) fn add(&mut self, row: &BalanceTransaction, paid: Option<i64>) {
        let sums = self.0.entry(row.currency.clone()).or_default();
        let gross = if paid.is_some() { row.amount } else { 0 };
        let parts = [paid.unwrap_or_default(), gross, row.fee, row.net];
        for (sum, part) in sums.iter_mut().zip(parts) {
            *sum = sum.saturating_add(part);
        }
    }

    pub(super) fn rows(self) -> Vec<Settled> {
        let row = |(currency, [paid, gross, fees, net]): (String, [i64; 4])| Settled {
            paid: of_cents(paid),
            gross: of_units(gross, &currency),
            fees: of_units(fees, &currency),
            net: of_units(net, &currency),
            currency,
        };
        self.0.into_iter().map(row).collect()
    }
}
