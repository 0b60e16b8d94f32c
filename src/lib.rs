//! callmeter: charging for live phone calls.
//!
//! One direction, like water: Kafka → [`ingest`] decodes → `callmeter_core::rating` prices →
//! [`ledger`] commits to Postgres → balance projects to Redis → notify tells the world.
//!
//! Modules in reading order: [`clock`], [`metrics`], [`ledger`], [`simulate`],
//! [`verify`].

pub mod clock;
pub mod health;
pub mod ingest;
pub mod ledger;
pub mod meter;
pub mod metrics;
pub mod simulate;
pub mod verify;
