//! The only writer of money: accounts, transactions, charges and offsets in Postgres.
//!
//! Stage 3 of the flow. Everything here happens in named transactions of [`store::Store`]; nothing
//! here reads Kafka, Redis or the clock.

pub mod batch;
mod call_key;
pub mod catalogs;
mod copy;
mod error;
pub mod incarnation;
pub mod offsets;
mod partitions;
pub mod rejects;
pub mod rentals;
pub mod store;
pub mod wallets;

pub use error::LedgerError;
