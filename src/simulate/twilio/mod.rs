//! A local Twilio: the part of its REST API that the sweep and the reconciliation read, with its
//! behaviour, for tests and demonstrations.
//!
//! Simulated on purpose: listings repeat calls across pages, prices are null at first, listings and
//! usage lag behind, a busy account is answered 429 and sometimes 500, and only a parent's token
//! opens its sub-accounts. Sources: the documentation of the Call resource and of usage records
//! (<https://www.twilio.com/docs/usage/api/usage-record>); errors as in
//! <https://www.twilio.com/docs/usage/twilios-response>. Where nothing is documented, it is as
//! lenient as Twilio is known to be.

mod answer;
mod listing;
mod server;
mod usage;
mod world;

pub use server::serve;
pub use world::{Behaviour, LocalTwilio, Subscriber};
