//! JSON that both the API and the command line write.
//!
//! Beside the flow, below both. Nothing here may read data or decide anything.

mod account;
mod alerts;
mod auto_refill;
mod budget;
mod call;
mod cloud_event;
mod key;
mod number;
mod refill;
mod reject;
pub(crate) mod schema;
mod transaction;
mod unmatched_payment;
mod webhook;

pub(crate) use account::AccountJson;
pub(crate) use alerts::AlertsJson;
pub(crate) use auto_refill::{AutoRefillJson, AutoRefillState};
pub(crate) use budget::BudgetJson;
pub(crate) use call::CallJson;
pub(crate) use cloud_event::{cloud_event, event_data, event_type};
pub(crate) use key::{KeyJson, KeyScope};
pub(crate) use number::NumberJson;
pub(crate) use refill::{RefillJson, Shown};
pub(crate) use reject::{ClosedJson, RejectJson};
pub(crate) use transaction::TransactionJson;
pub(crate) use unmatched_payment::UnmatchedPaymentJson;
pub(crate) use webhook::{DeliveryJson, EndpointJson};
