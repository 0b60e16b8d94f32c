//! A local Twilio: the part of its REST API that the sweep, the reconciliation and the purchase of
//! numbers use, with its behaviour, for tests and demonstrations.
//!
//! Simulated on purpose: listings repeat calls across pages, prices are null at first, listings and
//! usage lag behind, a busy account is answered 429 and sometimes 500, and only a parent's token
//! opens its sub-accounts. Sources: the documentation of the Call resource and of usage records
//! (<https://www.twilio.com/docs/usage/api/usage-record>); errors as in
//! <https://www.twilio.com/docs/usage/twilios-response>. Where nothing is documented, it is as
//! lenient as Twilio is known to be.

mod admission;
mod answer;
mod listing;
mod number_answers;
mod number_routes;
mod numbers;
mod server;
mod usage;
mod world;

pub use numbers::{NumberFault, NumberRequest, OwnedNumber};
pub use server::serve;
pub use world::{Behaviour, LocalTwilio, Subscriber};
