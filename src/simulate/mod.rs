//! Believable Twilio traffic into Kafka, for demonstrations, tests and benchmarks.
//!
//! [`traffic`] makes the records and is pure; [`publish`] sends them; the command
//! `callmeter simulate` makes the accounts, watches and sums up.

mod call;
mod draw;
pub mod publish;
mod render;
pub mod traffic;

pub use draw::{Share, ShareError, Skew};
