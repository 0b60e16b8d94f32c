//! Compares one payment at Stripe with the ledger. Pure.

use callmeter_core::domain::Money;
use chrono::{DateTime, Utc};
use serde::Serialize;

/// The currency of the ledger, in Stripe's word.
const USD: &str = "usd";

/// Micro-dollars of a cent.
const MICROS_PER_CENT: i64 = 10_000;

/// Currencies whose smallest unit at Stripe is the whole, and those with three places; all others
/// have two (<https://docs.stripe.com/currencies#minor-units>).
const WITHOUT_PLACES: [&str; 15] = [
    "bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "vnd", "vuv", "xaf",
    "xof", "xpf",
];
const WITH_THREE_PLACES: [&str; 5] = ["bhd", "jod", "kwd", "omr", "tnd"];

/// Why the books differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Paid at Stripe, never credited.
    NotInLedger,
    /// Credited, and Stripe has no such payment, or it did not succeed.
    NotAtStripe,
    /// Credited with another amount than was paid.
    Amount,
    /// Paid in another currency.
    Currency,
    /// It fits none of our refills and waits for an administrator.
    Unmatched,
    /// Refunded at Stripe, not debited.
    RefundNotBooked,
    /// Debited, and Stripe has no such refund, or it failed.
    RefundNotAtStripe,
    /// Debited with another amount than was refunded.
    RefundAmount,
    /// A dispute took money at Stripe, not here.
    ChargebackNotBooked,
    /// A dispute took money here, not at Stripe.
    ChargebackNotAtStripe,
    /// A dispute took another amount here than at Stripe.
    ChargebackAmount,
    /// A dispute gave money back at Stripe, not here.
    ReversalNotBooked,
    /// A dispute gave money back here, not at Stripe.
    ReversalNotAtStripe,
}

impl Reason {
    /// Its spelling, as stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotInLedger => "not_in_ledger",
            Self::NotAtStripe => "not_at_stripe",
            Self::Amount => "amount",
            Self::Currency => "currency",
            Self::Unmatched => "unmatched",
            Self::RefundNotBooked => "refund_not_booked",
            Self::RefundNotAtStripe => "refund_not_at_stripe",
            Self::RefundAmount => "refund_amount",
            Self::ChargebackNotBooked => "chargeback_not_booked",
            Self::ChargebackNotAtStripe => "chargeback_not_at_stripe",
            Self::ChargebackAmount => "chargeback_amount",
            Self::ReversalNotBooked => "reversal_not_booked",
            Self::ReversalNotAtStripe => "reversal_not_at_stripe",
        }
    }
}

/// A difference: one for each payment and reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The payment.
    pub payment_intent: String,
    /// The sum in the ledger.
    pub ours: Money,
    /// The sum at Stripe, in `currency`.
    pub stripe: Money,
    /// The reason.
    pub reason: Reason,
    /// The payment's currency.
    pub currency: String,
    /// When the payment was created.
    pub paid_at: DateTime<Utc>,
    /// The refunds or disputes at fault.
    pub objects: Vec<String>,
}

impl Difference {
    /// By how much the sums differ, without its sign.
    pub fn drift(&self) -> Money {
        let apart = self.ours.micros().saturating_sub(self.stripe.micros());
        Money::from_micros(apart.saturating_abs())
    }
}

/// Money that moved at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moved {
    pub(super) amount: Money,
    pub(super) at: DateTime<Utc>,
}

/// A succeeded payment, as Stripe has it.
#[derive(Clone, Debug)]
pub(super) struct AtStripe {
    pub(super) payment_intent: String,
    pub(super) paid_at: DateTime<Utc>,
    pub(super) paid: Money,
    pub(super) currency: String,
    pub(super) refunds: Vec<StripeRefund>,
    pub(super) disputes: Vec<StripeDispute>,
}

/// A refund, as Stripe has it.
#[derive(Clone, Debug)]
pub(super) struct StripeRefund {
    pub(super) id: String,
    pub(super) moved: Moved,
    /// False if it failed or was canceled.
    pub(super) is_good: bool,
}

/// A dispute, as Stripe has it; an inquiry moved nothing.
#[derive(Clone, Debug)]
pub(super) struct StripeDispute {
    pub(super) id: String,
    pub(super) withdrawn: Option<Moved>,
    pub(super) reinstated: Option<Moved>,
}

/// A payment, as the ledger has it.
#[derive(Clone, Debug, Default)]
pub(super) struct InLedger {
    pub(super) credit: Option<Moved>,
    /// It is kept as a payment that fits no refill; true: nobody resolved it.
    pub(super) unmatched: Option<bool>,
    /// Debits for refunds that were not given back, with Stripe's refund.
    pub(super) refunds: Vec<(String, Moved)>,
    pub(super) disputes: Vec<OurDispute>,
}

/// A dispute, as the ledger has it.
#[derive(Clone, Debug)]
pub(super) struct OurDispute {
    pub(super) id: String,
    pub(super) withdrawn: Option<Moved>,
    pub(super) reinstated: Option<Moved>,
}

/// The amount of Stripe's cents.
pub(super) fn of_cents(cents: i64) -> Money {
    Money::from_micros(cents.saturating_mul(MICROS_PER_CENT))
}

/// The amount of a currency's smallest units at Stripe; its micros are millionths of the currency.
pub(super) fn of_units(units: i64, currency: &str) -> Money {
    let micros = match currency {
        _ if WITHOUT_PLACES.contains(&currency) => 1_000_000,
        _ if WITH_THREE_PLACES.contains(&currency) => 1_000,
        _ => MICROS_PER_CENT,
    };
    Money::from_micros(units.saturating_mul(micros))
}

/// The differences of one payment. What moved after `settled_before` on one side only is still
/// under way.
pub(super) fn explain(
    theirs: &AtStripe,
    ours: &InLedger,
    settled_before: DateTime<Utc>,
) -> Vec<Difference> {
    let mut found = Found { payment: theirs, differences: Vec::new() };
    let Some(credit) = ours.credit else {
        let refunds = theirs.refunds.iter().filter(|refund| refund.is_good);
        let refunded: i64 = refunds.map(|refund| refund.moved.amount.micros()).sum();
        let left = Money::from_micros(theirs.paid.micros().saturating_sub(refunded));
        let reason = match ours.unmatched {
            Some(true) => Some(Reason::Unmatched),
            // An administrator settled it, by hand perhaps.
            Some(false) => None,
            None if left.is_zero() => None,
            None if theirs.currency != USD => Some(Reason::Currency),
            None => Some(Reason::NotInLedger),
        };
        if let Some(reason) = reason {
            found.add(reason, Money::ZERO, left, None);
        }
        return found.differences;
    };
    if theirs.currency != USD {
        found.add(Reason::Currency, credit.amount, theirs.paid, None);
    } else if credit.amount != theirs.paid {
        found.add(Reason::Amount, credit.amount, theirs.paid, None);
    }
    let is_settled = |moved: &Moved| moved.at < settled_before;
    let refunds = [Reason::RefundNotBooked, Reason::RefundNotAtStripe, Reason::RefundAmount];
    for refund in &theirs.refunds {
        let booked = ours.refunds.iter().find(|(id, _)| *id == refund.id).map(|(_, moved)| *moved);
        let moved = refund.is_good.then_some(refund.moved);
        found.pair(refunds, booked, moved, &refund.id, is_settled);
    }
    for (id, moved) in &ours.refunds {
        if !theirs.refunds.iter().any(|refund| refund.id == *id) {
            found.pair(refunds, Some(*moved), None, id, is_settled);
        }
    }
    let withdrawn =
        [Reason::ChargebackNotBooked, Reason::ChargebackNotAtStripe, Reason::ChargebackAmount];
    let reinstated =
        [Reason::ReversalNotBooked, Reason::ReversalNotAtStripe, Reason::ChargebackAmount];
    for dispute in &theirs.disputes {
        let booked = ours.disputes.iter().find(|booked| booked.id == dispute.id);
        let id = &dispute.id;
        let of_ours = booked.and_then(|booked| booked.withdrawn);
        found.pair(withdrawn, of_ours, dispute.withdrawn, id, is_settled);
        let of_ours = booked.and_then(|booked| booked.reinstated);
        found.pair(reinstated, of_ours, dispute.reinstated, id, is_settled);
    }
    for booked in &ours.disputes {
        if !theirs.disputes.iter().any(|dispute| dispute.id == booked.id) {
            found.pair(withdrawn, booked.withdrawn, None, &booked.id, is_settled);
            found.pair(reinstated, booked.reinstated, None, &booked.id, is_settled);
        }
    }
    found.differences
}

/// The differences of one payment, as they are found.
struct Found<'a> {
    payment: &'a AtStripe,
    differences: Vec<Difference>,
}

impl Found<'_> {
    /// Compares one movement of both sides.
    fn pair(
        &mut self,
        [not_booked, not_at_stripe, other_amount]: [Reason; 3],
        ours: Option<Moved>,
        theirs: Option<Moved>,
        object: &str,
        is_settled: impl Fn(&Moved) -> bool,
    ) {
        let nothing = Money::ZERO;
        match (ours, theirs) {
            (Some(ours), Some(theirs)) if ours.amount != theirs.amount => {
                self.add(other_amount, ours.amount, theirs.amount, Some(object));
            }
            (Some(ours), None) if is_settled(&ours) => {
                self.add(not_at_stripe, ours.amount, nothing, Some(object));
            }
            (None, Some(theirs)) if is_settled(&theirs) => {
                self.add(not_booked, nothing, theirs.amount, Some(object));
            }
            _ => {}
        }
    }

    fn add(&mut self, reason: Reason, ours: Money, stripe: Money, object: Option<&str>) {
        let plus = |a: Money, b: Money| Money::from_micros(a.micros().saturating_add(b.micros()));
        let known = self.differences.iter_mut().find(|known| known.reason == reason);
        if let Some(known) = known {
            known.ours = plus(known.ours, ours);
            known.stripe = plus(known.stripe, stripe);
            known.objects.extend(object.map(str::to_owned));
            return;
        }
        self.differences.push(Difference {
            payment_intent: self.payment.payment_intent.clone(),
            ours,
            stripe,
            reason,
            currency: self.payment.currency.clone(),
            paid_at: self.payment.paid_at,
            objects: object.map(str::to_owned).into_iter().collect(),
        });
    }
}

#[cfg(test)]
#[path = "compare_tests.rs"]
mod tests;
