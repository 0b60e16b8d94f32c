//! Auto-refill: sets it, begins refills, and learns from what became of them. Whether a card is
//! charged is decided by `callmeter_core::policy::auto_refill`, under the wallet's lock.

mod begin;
mod disable;
mod needed;
mod outcome;
mod set;
mod view;

pub(crate) use set::{AutoRefillRequest, CapGiven, CardGiven, NotSet, SetAutoRefill};
pub(crate) use view::view;

pub(super) use disable::{card_gone, disable};
pub(super) use needed::NOT_NEEDED;
pub(super) use outcome::learn;
