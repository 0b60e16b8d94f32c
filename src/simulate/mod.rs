//! Believable Twilio traffic into Kafka, for demonstrations, tests and benchmarks.
//!
//! [`traffic`] makes the records and is pure; [`accounts`] makes the customers; [`publish`] sends the
//! records, [`watch`] shows how far it is. With a [`dialer`] the callers ask a service before they call. [`twilio`] is a local Twilio that is asked
//! about them afterwards.
//!
//! It must never write the ledger but by the ledger's own functions, nor anything but accounts.

pub mod accounts;
mod call;
pub mod dialer;
mod draw;
pub mod progress;
pub mod publish;
mod render;
mod teller;
pub mod traffic;
pub mod twilio;
pub mod watch;

pub use draw::{Share, ShareError, Skew};
pub use teller::{Teller, TellerError};
