//! Decisions about payments, alerts and budgets, as pure functions.
//!
//! Place in the flow: beside rating. A caller hands in what Stripe or the ledger says, and gets
//! what follows from it.
//!
//! It must never ask Stripe, read the ledger or a clock: facts and times are arguments.

pub mod auto_refill;
pub mod budget;
mod crossings;
mod declines;
pub mod refill_state;

pub use crossings::crosses;
pub use declines::{Decline, decline};
