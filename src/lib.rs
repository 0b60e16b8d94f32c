//! callmeter: charging for live phone calls.
//!
//! The flow has one direction: Kafka → [`ingest`] decodes → `callmeter_core::rating` prices →
//! [`ledger`] commits to Postgres → [`balance`] projects to Redis.
//!
//! Modules in reading order: [`clock`], [`metrics`], [`config`], [`masked`], [`recent`],
//! [`telemetry`], [`http_client`], [`vault`], [`ingest`], [`ledger`], [`balance`], [`keys`], [`change`],
//! [`accounts`], [`operator`], [`json`], [`csv`], [`wallet`], [`health`], [`meter`], [`verify`],
//! [`jobs`], [`notify`], [`twilio`], [`stripe`], [`payments`], [`numbers`], [`sweep`], [`reconcile`],
//! [`books`], [`status`], [`simulate`], [`bridge`], [`http`], [`page`], [`app`], [`cli`].
//!
//! A module uses only modules before it. A test reads the order here.

pub mod accounts;
pub mod app;
pub mod balance;
pub mod books;
pub mod bridge;
pub mod change;
pub mod cli;
pub mod clock;
pub mod config;
pub(crate) mod csv;
pub mod health;
pub mod http;
pub mod http_client;
pub mod ingest;
pub mod jobs;
pub(crate) mod json;
pub mod keys;
pub mod ledger;
pub mod masked;
pub mod meter;
pub mod metrics;
pub mod notify;
pub mod numbers;
pub mod operator;
pub mod page;
pub mod payments;
pub(crate) mod recent;
pub mod reconcile;
pub mod simulate;
pub mod status;
pub mod stripe;
pub mod sweep;
pub mod telemetry;
pub mod twilio;
pub mod vault;
pub mod verify;
pub mod wallet;
