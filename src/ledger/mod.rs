//! The only writer of money: accounts, transactions, charges and offsets in Postgres.
//!
//! In the flow between ingest and the projection. Money changes only in transactions of
//! [`store::Store`]; nothing here reads Kafka, Redis or the clock.

pub mod accounts;
pub mod adjustments;
pub mod alerts;
pub mod audit;
pub mod batch;
mod budget_marks;
pub mod budgets;
mod call_key;
pub mod call_tags;
pub mod campaigns;
pub mod catalogs;
pub(crate) mod copy;
mod crossings;
pub(crate) mod dedicated;
pub mod denials;
pub mod entries;
mod error;
pub mod estimates;
mod frozen;
pub mod history;
pub mod idempotency;
pub mod incarnation;
pub mod insights;
pub mod keys;
pub mod known_calls;
pub mod liability;
pub mod links;
pub mod mail;
pub mod numbers;
pub mod offsets;
pub mod outbox;
pub mod overview;
pub mod own_calls;
mod partitions;
pub mod payments;
pub mod redaction;
pub mod rejects;
pub mod rentals;
pub mod schema;
mod session;
pub mod shared_keys;
pub mod stalls;
pub mod statements;
pub mod store;
mod store_error;
pub mod subscriptions;
pub mod tokens;
mod transaction_id;
pub mod unprojected;
pub mod wallet_sessions;
pub mod wallets;
pub mod watched;
pub mod webhooks;

pub use error::{LedgerError, Refusable};
