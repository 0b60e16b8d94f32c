//! A refill as JSON.

use callmeter_core::domain::{DeclineClass, Money, RefillStatus, RefillTrigger};
use callmeter_core::policy::decline;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::schema;
use crate::ledger::history::TransactionId;
use crate::ledger::payments::refills::{Refill, StoredDecline};

/// A refill.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Refill)]
pub(crate) struct RefillJson {
    #[schema(value_type = schema::RefillId)]
    id: String,
    #[schema(value_type = schema::AccountId)]
    account: String,
    #[schema(value_type = schema::RefillTrigger)]
    trigger: RefillTrigger,
    #[schema(value_type = schema::Amount)]
    amount: Money,
    /// Always `usd`.
    currency: &'static str,
    #[schema(value_type = schema::RefillStatus)]
    status: RefillStatus,
    /// Stripe's id of the payment; null while it is not known.
    payment_intent: Option<String>,
    /// The card; null for a new one that has not paid yet, and for admin keys.
    payment_method: Option<CardFaceJson>,
    /// In `requires_payment_method` and `requires_action`: lets the browser go on with Stripe. Null
    /// in lists.
    client_secret: Option<String>,
    /// Beside `client_secret`: the key with which the browser talks to Stripe.
    publishable_key: Option<String>,
    /// Why the last try was declined.
    decline: Option<DeclineJson>,
    /// In `requires_action`, where `return_url` was given: the bank's page.
    redirect_url: Option<String>,
    /// What was returned to the card so far.
    #[schema(value_type = schema::Amount)]
    refunded: Money,
    created_at: DateTime<Utc>,
    finished_at: Option<DateTime<Utc>>,
    /// The outcome's row.
    #[schema(value_type = Option<schema::TransactionId>)]
    transaction_id: Option<String>,
}

/// A card as it is shown.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CardFace)]
struct CardFaceJson {
    #[schema(value_type = schema::PaymentMethodId)]
    id: String,
    /// In Stripe's words, such as `visa`.
    brand: String,
    /// The last four digits.
    last4: String,
}

/// Why a payment was declined.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Decline)]
struct DeclineJson {
    /// The reason in Stripe's words; `generic_decline` where the bank wants it hidden.
    code: String,
    #[schema(value_type = schema::DeclineClass)]
    class: DeclineClass,
    /// What the customer can do.
    advice: String,
    /// When an automatic refill is tried again.
    retry_at: Option<DateTime<Utc>>,
    /// Stripe's own word; admin keys only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    stripe_code: Option<String>,
}

/// Whom a refill is shown to, and what the browser needs to go on with it.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    /// An admin key asks: no card, but Stripe's own words.
    pub(crate) to_admin: bool,
    /// The client secret and the publishable key.
    pub(crate) secrets: Option<(String, String)>,
}

impl RefillJson {
    pub(crate) fn new(refill: Refill, shown: Shown) -> Self {
        let (client_secret, publishable_key) = shown.secrets.unzip();
        let card = refill.payment_method.zip(refill.card).filter(|_| !shown.to_admin);
        let sequence = refill.outcome_sequence;
        let account_key = refill.account_key;
        Self {
            id: refill.id.to_string(),
            account: refill.account.to_string(),
            trigger: refill.trigger,
            amount: refill.amount,
            currency: "usd",
            status: refill.status,
            payment_intent: refill.payment_intent.map(|id| id.to_string()),
            payment_method: card.map(|(id, face)| CardFaceJson {
                id: id.to_string(),
                brand: face.brand,
                last4: face.last4,
            }),
            client_secret,
            publishable_key,
            decline: refill.decline.map(|stored| DeclineJson::new(&stored, shown.to_admin)),
            redirect_url: refill.redirect_url,
            refunded: refill.refunded,
            created_at: refill.created_at,
            finished_at: refill.finished_at,
            transaction_id: sequence
                .map(|sequence| TransactionId { account_key, sequence }.to_string()),
        }
    }
}

impl DeclineJson {
    fn new(stored: &StoredDecline, to_admin: bool) -> Self {
        let told = decline(stored.decline_code.as_deref(), stored.code.as_deref());
        let stripe_code = stored.decline_code.clone().or_else(|| stored.code.clone());
        Self {
            code: told.code,
            class: told.class,
            advice: told.advice.to_owned(),
            retry_at: stored.retry_at,
            stripe_code: stripe_code.filter(|_| to_admin),
        }
    }
}
