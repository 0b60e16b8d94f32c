//! A payment that fits no refill, as JSON.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::schema;
use crate::ledger::payments::unmatched::Kept;

/// A payment at Stripe that fits none of our refills. It is not credited by itself.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UnmatchedPayment)]
pub(crate) struct UnmatchedPaymentJson {
    /// Stripe's id of the payment.
    #[schema(value_type = schema::PaymentIntentId)]
    payment_intent: String,
    /// The refill that the payment names.
    refill: Option<String>,
    /// What does not fit: `amount`, `currency`, `customer`, `unknown_refill` or `paid_twice`.
    reason: String,
    /// What was paid, in the smallest unit of the currency, such as cents.
    amount_cents: i64,
    /// Lower-case, such as `usd`.
    currency: String,
    found_at: DateTime<Utc>,
    /// When an administrator settled it; null: nobody did.
    resolved_at: Option<DateTime<Utc>>,
    #[schema(value_type = Option<schema::PaymentResolution>)]
    resolution: Option<String>,
}

impl From<Kept> for UnmatchedPaymentJson {
    fn from(kept: Kept) -> Self {
        Self {
            payment_intent: kept.payment_intent,
            refill: kept.refill,
            reason: kept.reason,
            amount_cents: kept.amount,
            currency: kept.currency,
            found_at: kept.found_at,
            resolved_at: kept.resolved_at,
            resolution: kept.resolution,
        }
    }
}
