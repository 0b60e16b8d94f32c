//! Drives the system from outside: servers, processes, records and requests.
//!
//! Every test has its own database, Redis database, topics, consumer group, ports and catalog, so
//! that tests run side by side and leave nothing behind. When a test's [`system::System`] ends,
//! `callmeter verify` must find the ledger's invariants unbroken.

pub(crate) mod api;
pub(crate) mod certificate;
pub(crate) mod command;
pub(crate) mod document;
pub(crate) mod dump;
pub(crate) mod kafka;
pub(crate) mod leaks;
pub(crate) mod nginx;
pub(crate) mod pgbouncer;
pub(crate) mod poll;
pub(crate) mod redis_database;
pub(crate) mod samples;
pub(crate) mod sdk;
pub(crate) mod servers;
pub(crate) mod service;
pub(crate) mod stripe;
pub(crate) mod system;
pub(crate) mod twilio;
