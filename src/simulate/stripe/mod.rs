//! A local Stripe: the part of its API that payments, cards, refunds and disputes use, with its
//! behaviour and its web hooks, for tests and demonstrations.
//!
//! Objects, statuses, errors and idempotency follow the version [`API_VERSION`] of the API
//! (<https://docs.stripe.com/api>). Unknown parameters are refused. Cards are Stripe's test cards,
//! and `pm_card_declined_<reason>` for every reason to decline. Below `/simulated` are the bank's
//! page for 3-D Secure and a control, which opens disputes, fails refunds, breaks connections and
//! lists what was done; the same is there as methods of [`LocalStripe`].
//!
//! It must not use this program's own client of Stripe: the two check each other.

mod account;
mod answer;
mod api;
mod attempt;
mod balance;
mod behaviour;
mod card;
mod charges;
mod control;
mod controls;
mod customers;
mod delivery;
mod disputes;
mod form;
mod idempotency;
mod listing;
mod outbox;
mod page;
mod payment_intents;
mod payment_methods;
mod refunds;
mod routes;
mod server;
mod setup_intents;
mod webhook_endpoints;
mod world;

pub use answer::Complaint;
pub use behaviour::{Behaviour, Fault, FaultRule};
pub use card::{Authentication, Card, RefundOutcome};
pub use control::Totals;
pub use outbox::Attempt;
pub use server::serve;
pub use world::{API_VERSION, Keys, LocalStripe, Request};
