//! A local Twilio: the part of its REST API that the sweep and the reconciliation read, with its
//! behaviour, for tests and demonstrations without the real one.
//!
//! Behaviour on purpose: a listing repeats calls over its pages, prices are null at first, listings and
//! usage come late, a busy account is answered 429 and now and then 500, a parent's token opens its
//! sub-accounts and no other does. Sources: the documentation of the Call resource and of usage
//! records (<https://www.twilio.com/docs/usage/api/usage-record>); errors as in
//! <https://www.twilio.com/docs/usage/twilios-response>. What is not documented is as lenient as
//! Twilio is known to be.

mod answer;
mod listing;
mod server;
mod usage;
mod world;

pub use server::serve;
pub use world::{Behaviour, LocalTwilio, Subscriber};
