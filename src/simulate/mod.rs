//! Believable Twilio traffic into Kafka, for demonstrations, tests and benchmarks.
//!
//! [`traffic`] makes the records and is pure; [`accounts`] makes the customers; [`publish`] sends the
//! records, [`watch`] shows how far it is. With a [`dialer`] the callers ask a service before they call. [`twilio`] is a local Twilio that is asked
//! about them afterwards.
//!
//! It must never write the ledger but by the ledger's own functions, nor anything but accounts.

pub mod accounts;
mod call;
mod call_reporter;
pub mod dialer;
pub mod progress;
pub mod publish;
mod render;
mod sampling;
pub mod traffic;
pub mod twilio;
pub mod watch;

pub use call_reporter::{CallReporter, CallReporterError};
pub use sampling::{Share, ShareError, Skew};
