//! Stripe's API, as far as this service uses it: customers, cards, payments, refunds, disputes.
//!
//! Beside the flow: payments ask here, and decide by the answer. This module moves money only when
//! it is told to, and decides nothing.
//!
//! - Every call has a [`Deadline`], which all calls of one request share.
//! - Every POST has an Idempotency-Key, which the caller keeps with the parameters: a request whose
//!   outcome is unknown is repeated byte for byte under the same key.
//! - An error says whether the request may have had effect ([`StripeError::may_have_effect`]). Only
//!   429 is tried again here: then nothing was done.
//!
//! No error, log line or `Debug` output may hold a key, a client secret, a message of Stripe's
//! (which repeats what was sent) or data of a customer or card. Card numbers never come here.
//!
//! Sources: Stripe's API reference (<https://docs.stripe.com/api>), its errors
//! (<https://docs.stripe.com/api/errors>), idempotent requests
//! (<https://docs.stripe.com/api/idempotent_requests>) and web hooks
//! (<https://docs.stripe.com/webhooks>).

mod balance;
mod cards;
mod client;
mod customers;
mod deadline;
mod error;
mod events;
mod form;
mod listing;
mod objects;
mod payments;
mod refunds;
pub mod signature;
mod webhook_endpoints;

pub use balance::Created;
pub use client::{API_VERSION, StripeClient};
pub use deadline::Deadline;
pub use error::StripeError;
pub use form::Form;
pub use objects::{
    Account, BalanceTransaction, Card, Charge, Complaint, Customer, Dispute, Event, Expandable,
    Identified, List, ListedPayment, Movement, MovementSource, NextAction, PaymentIntent,
    PaymentMethod, Payout, RedirectToUrl, Refund, SetupIntent, Unreadable,
};
pub use webhook_endpoints::WebhookEndpoint;
