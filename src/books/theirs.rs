//! What Stripe has of payments: themselves, their refunds and their disputes.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use super::compare::{AtStripe, Moved, StripeDispute, StripeRefund, of_units};
use super::store::Settlement;
use super::{BooksError, PAGE_MAX};
use crate::stripe::{BalanceTransaction, Created, Dispute, ListedPayment, Refund, StripeClient};

/// What Stripe has besides the payments themselves, by payment.
#[derive(Debug, Default)]
pub(super) struct Returns {
    pub(super) refunds: HashMap<String, Vec<Refund>>,
    pub(super) disputes: HashMap<String, Vec<Dispute>>,
}

impl Returns {
    /// Lists what was created in a time.
    pub(super) async fn list(stripe: &StripeClient, created: Created) -> Result<Self, BooksError> {
        let mut returns = Self::default();
        for refund in stripe.refunds_created(created, PAGE_MAX).await? {
            if let Some(payment) = &refund.payment_intent {
                returns.refunds.entry(payment.clone()).or_default().push(refund);
            }
        }
        for dispute in stripe.disputes_created(created, PAGE_MAX).await? {
            if let Some(payment) = &dispute.payment_intent {
                returns.disputes.entry(payment.clone()).or_default().push(dispute);
            }
        }
        Ok(returns)
    }

    /// A payment with its refunds and disputes.
    pub(super) fn with(&self, payment: &ListedPayment) -> AtStripe {
        let refunds = self.refunds.get(&payment.id).into_iter().flatten();
        let disputes = self.disputes.get(&payment.id).into_iter().flatten();
        AtStripe {
            payment_intent: payment.id.clone(),
            paid_at: instant(payment.created),
            paid: of_units(payment.amount_received, &payment.currency),
            currency: payment.currency.clone(),
            refunds: refunds.map(refund).collect(),
            disputes: disputes.map(dispute).collect(),
        }
    }
}

fn refund(refund: &Refund) -> StripeRefund {
    let amount = of_units(refund.amount, &refund.currency);
    let moved = Moved { amount, at: instant(refund.created) };
    StripeRefund { id: refund.id.clone(), moved, is_good: is_good(refund) }
}

/// True if its money left, or is about to.
pub(super) fn is_good(refund: &Refund) -> bool {
    matches!(refund.status.as_deref(), Some("succeeded" | "pending"))
}

/// A dispute with what its rows in the balance prove. The amount is its own, without the fee.
fn dispute(dispute: &Dispute) -> StripeDispute {
    let moved = |leaves: fn(&BalanceTransaction) -> bool| {
        let row = dispute.balance_transactions.iter().find(|row| leaves(row));
        let amount = of_units(dispute.amount, &dispute.currency);
        row.map(|row| Moved { amount, at: instant(row.created) })
    };
    StripeDispute {
        id: dispute.id.clone(),
        withdrawn: moved(|row| row.amount < 0),
        reinstated: moved(|row| row.amount > 0),
    }
}

/// What Stripe kept of a payment; `None`: it does not tell yet.
pub(super) fn settlement(payment: &ListedPayment) -> Option<Settlement> {
    let (charge, row) = (payment.latest_charge.as_ref()?, payment.settled()?);
    Some(Settlement {
        payment_intent: payment.id.clone(),
        charge: charge.id.clone(),
        fee: row.fee,
        net: row.net,
        currency: row.currency.clone(),
    })
}

/// An instant of Stripe's.
pub(super) fn instant(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap_or_default()
}
