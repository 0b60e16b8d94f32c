//! Believable Twilio traffic into Kafka, for demonstrations, tests and benchmarks.
//!
//! [`traffic`] generates the records and is pure; [`accounts`] creates the customers; [`publish`]
//! sends the records, [`watch`] shows the progress. With a [`dialer`] the callers ask a service
//! before they call. [`twilio`] is a local Twilio that knows these calls, [`stripe`] a local Stripe.
//!
//! It must only create accounts in the ledger, and only through the ledger's own functions.

pub mod accounts;
mod call;
mod call_reporter;
pub mod dialer;
pub mod progress;
pub mod publish;
mod render;
mod sampling;
pub mod stripe;
pub mod traffic;
pub mod twilio;
pub mod watch;

pub use call_reporter::{CallReporter, CallReporterError};
pub use sampling::{Share, ShareError, Skew};
