//! Settings: the only reader of the environment.
//!
//! Before the flow: `main` reads the settings once and passes on typed, checked values. The
//! defaults are `config/callmeter.toml` itself, so that its documentation stays right. No code here
//! may log or print a secret, and no code elsewhere may read an environment variable.

mod alerts;
mod allocator;
mod clock;
mod colour;
mod error;
mod http;
mod jobs;
mod load;
mod notifications;
mod numbers;
mod page;
mod payments;
mod privacy;
mod secret;
mod secrets;
mod settings;
mod shared_keys;
mod variables;

pub use alerts::Alerts;
pub use allocator::settle_allocator;
pub use clock::ClockSettings;
pub use colour::Colour;
pub use error::SettingsError;
pub use http::Http;
pub use jobs::{Insights, Reconcile, Sweep};
pub use load::{load, load_from};
pub use notifications::{Items, Mail, Webhooks};
pub use numbers::Numbers;
pub use page::Page;
pub use payments::{AutoRefill, PAYMENT_MAX, Refill, Stripe};
pub use privacy::Privacy;
pub use secret::{ConnectionUrl, KafkaOptions, Secret};
pub use secrets::{Secrets, Twilio};
pub use settings::{
    Batch, CatalogFile, Charging, Database, Holds, Kafka, Log, LogFormat, Redis, Rejects, Rentals,
    Settings, Wallet,
};
pub use shared_keys::{
    NOT_A_KEY_ID, NOT_A_KEY_SECRET, SHARED_KEYS_MAX, SharedKey, is_key_id, read_key_secret,
};

/// The built-in defaults, with every key documented.
pub const DEFAULTS: &str = include_str!("../../config/callmeter.toml");

#[cfg(test)]
mod tests;
