//! Decisions about payments, alerts, budgets and numbers, as pure functions.
//!
//! Place in the flow: beside rating. A caller hands in what Stripe, Twilio or the ledger
//! says, and gets what follows from it.
//!
//! It must never ask Stripe or Twilio, read the ledger or a clock: facts and times are arguments.

pub mod auto_refill;
pub mod budget;
mod crossings;
mod declines;
pub mod purchase_state;
pub mod refill_state;
mod rent_notices;

pub use crossings::crosses;
pub use declines::{Decline, decline};
pub use rent_notices::is_rent_told;
