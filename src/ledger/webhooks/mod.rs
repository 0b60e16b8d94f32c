//! Web hooks to customers: endpoints that get events, their secrets, and what is posted to them.
//!
//! `fan_out` turns events of the outbox into deliveries, once for each endpoint. A process claims
//! deliveries that are due for a while, posts them, and notes what became of each; if it dies, they
//! are due again. A delivery keeps no event: it is read when it is posted.
//!
//! A secret leaves this module only as a [`Secret`](crate::config::Secret).

mod deliveries;
mod disabling;
mod endpoints;
mod id;
mod posting;
mod secrets;

pub use deliveries::{Delivery, DeliveryStatus, NotReplayed, TEST_TYPE, list, replay, test};
pub use disabling::disable;
pub use endpoints::{
    DisabledReason, ENDPOINTS_MAX, Endpoint, EndpointStatus, NewEndpoint, NotCreated, Owner,
    delete, enable, endpoints, find,
};
pub use id::{DeliveryId, EndpointId};
pub use posting::{
    Attempted, CONSUMER, Due, Posted, Waiting, claim, fan_out, is_any_due, note, release, tidy,
    waiting,
};
pub use secrets::{OpenedSecrets, SecretsTended, WebhookSecrets};
