//! Money that goes back: refunds to the card, and disputes at the bank.
//!
//! A refund that we ask for is a row with a state. Its money is first reserved in the wallet, so
//! that no call can take it; then Stripe is asked; then it is booked. Request, web hook and job take
//! the same steps.

mod advance;
mod begin;
mod book;
mod dispute;
mod events;
mod lost;

pub(crate) use begin::{NotRefunded, RefundRequest};
pub(super) use book::Booked;
