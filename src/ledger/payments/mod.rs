//! Rows about payments by card: refills, saved cards, Stripe's customers and events.
//!
//! Every function takes the caller's connection. The money of a refill is in `transactions`; the
//! row here is its state, which is changed only under the wallet's lock.

pub mod auto_refills;
pub mod card_setups;
pub mod cards;
pub mod disputes;
pub mod events;
pub mod recovery;
pub mod refill_progress;
pub mod refills;
pub mod refunds;
pub mod stripe_account;
pub mod unmatched;
