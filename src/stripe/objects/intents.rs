//! Payments, setups of cards, and what Stripe says when one fails.

use std::collections::BTreeMap;
use std::fmt;

use callmeter_core::domain::PaymentIntentId;
use callmeter_core::policy::{Decline, decline};
use serde::Deserialize;

use super::{Expandable, Identified, PaymentMethod, id_of, if_readable};
use crate::config::Secret;

/// A payment.
#[derive(Clone, Debug, Deserialize)]
pub struct PaymentIntent {
    /// Its id.
    pub id: PaymentIntentId,
    /// `requires_payment_method`, `requires_confirmation`, `requires_action`, `processing`,
    /// `requires_capture`, `succeeded`, `canceled`.
    pub status: String,
    /// What is to be paid, in cents.
    pub amount: i64,
    /// What was paid, in cents.
    #[serde(default)]
    pub amount_received: i64,
    /// Lower case: `usd`.
    pub currency: String,
    /// The customer.
    #[serde(default, deserialize_with = "id_of")]
    pub customer: Option<String>,
    /// True in live mode.
    pub livemode: bool,
    /// With it the browser confirms the payment.
    pub client_secret: Option<Secret>,
    /// The card; none after a decline.
    pub payment_method: Option<Expandable<PaymentMethod>>,
    /// The last attempt's charge.
    #[serde(default, deserialize_with = "id_of")]
    pub latest_charge: Option<String>,
    /// Why the last attempt failed.
    pub last_payment_error: Option<Complaint>,
    /// What we noted with it.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    /// When it was created.
    pub created: i64,
    /// What the customer must do, in `requires_action`.
    pub next_action: Option<NextAction>,
    /// When it was canceled.
    pub canceled_at: Option<i64>,
    /// Why: `abandoned`, `duplicate`, `requested_by_customer`, …
    pub cancellation_reason: Option<String>,
}

/// What the customer must do before a payment goes on.
#[derive(Clone, Debug, Deserialize)]
pub struct NextAction {
    /// `redirect_to_url`, `use_stripe_sdk`, …
    #[serde(rename = "type", default)]
    pub kind: String,
    /// The page to open.
    pub redirect_to_url: Option<RedirectToUrl>,
}

/// The page on which the bank asks for a confirmation.
#[derive(Clone, Deserialize)]
pub struct RedirectToUrl {
    /// Its address, which nobody else may have.
    pub url: Option<String>,
}

/// A card that is being saved.
#[derive(Clone, Debug, Deserialize)]
pub struct SetupIntent {
    /// Its id (`seti_…`).
    pub id: String,
    /// `requires_payment_method`, `requires_confirmation`, `requires_action`, `processing`,
    /// `succeeded`, `canceled`.
    pub status: String,
    /// With it the browser confirms the setup.
    pub client_secret: Option<Secret>,
    /// The customer.
    #[serde(default, deserialize_with = "id_of")]
    pub customer: Option<String>,
    /// The card.
    pub payment_method: Option<Expandable<PaymentMethod>>,
    /// True in live mode.
    pub livemode: bool,
    /// What we noted with it.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    /// When it was created.
    #[serde(default)]
    pub created: i64,
    /// Why the last attempt failed.
    pub last_setup_error: Option<Complaint>,
}

/// Stripe's error object: in an answer, and in an intent as its last error.
#[derive(Clone, Default, Deserialize)]
pub struct Complaint {
    /// `card_error`, `invalid_request_error`, `idempotency_error`, `api_error`.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// The error's code, such as `card_declined`.
    pub code: Option<String>,
    /// The bank's reason, such as `insufficient_funds`.
    pub decline_code: Option<String>,
    /// A sentence of Stripe's. It may repeat what was sent: never log it or show it.
    pub message: Option<String>,
    /// The declined charge.
    #[serde(default, deserialize_with = "id_of")]
    pub charge: Option<String>,
    /// The parameter at fault.
    pub param: Option<String>,
    /// The payment as it is now.
    #[serde(default, deserialize_with = "if_readable")]
    pub payment_intent: Option<Box<PaymentIntent>>,
    /// The setup as it is now.
    #[serde(default, deserialize_with = "if_readable")]
    pub setup_intent: Option<Box<SetupIntent>>,
    /// The card that was tried.
    #[serde(default, deserialize_with = "if_readable")]
    pub payment_method: Option<Expandable<PaymentMethod>>,
}

impl Complaint {
    /// The error's code, else its type: for logs, not for customers.
    pub fn reason(&self) -> &str {
        self.code.as_deref().unwrap_or(&self.kind)
    }

    /// What it means for the customer.
    pub fn decline(&self) -> Decline {
        decline(self.decline_code.as_deref(), self.code.as_deref())
    }
}

impl Identified for PaymentIntent {
    const OBJECT: &str = "payment_intent";

    fn id(&self) -> &str {
        self.id.as_str()
    }
}

impl Identified for SetupIntent {
    const OBJECT: &str = "setup_intent";

    fn id(&self) -> &str {
        &self.id
    }
}

/// Shows no message.
impl fmt::Debug for Complaint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("Complaint");
        shown.field("kind", &self.kind).field("code", &self.code);
        shown.field("decline_code", &self.decline_code).field("param", &self.param);
        shown.field("payment_intent", &self.payment_intent);
        shown.field("setup_intent", &self.setup_intent);
        shown.finish_non_exhaustive()
    }
}

impl fmt::Debug for RedirectToUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("RedirectToUrl").finish_non_exhaustive()
    }
}
