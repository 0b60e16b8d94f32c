//! Web hooks to customers, after the Standard Webhooks specification
//! (<https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>).
//!
//! `maker` turns events into deliveries, `poster` posts them. Each endpoint has a small number of
//! posts at a time of its own, so a slow receiver delays no other. A target's addresses are checked
//! by the resolver that the connection uses, so no name can lead elsewhere between check and
//! connection.
//!
//! It must never follow a redirect, use a proxy, or connect to an address that is not allowed.

mod address;
mod attempt;
mod change;
mod maker;
mod poster;
mod resolver;
mod rules;
mod signature;
mod target;

use std::sync::Arc;

pub use change::{
    CreateEndpoint, Created, DeleteEndpoint, EnableEndpoint, NotCreated, NotRotated,
    ReplayDelivery, RotateSecret, TestEndpoint, UnknownEndpoint,
};
pub(super) use maker::make;
pub(super) use poster::Poster;
pub use rules::TargetRefused;
pub use signature::random_secret;
pub use target::{NoTarget, Targets};

use crate::config::Settings;
use crate::ledger::webhooks::WebhookSecrets;

/// What changes of endpoints need.
#[derive(Clone, Debug)]
pub struct Webhooks {
    /// Which targets are allowed.
    pub targets: Targets,
    /// How secrets are sealed.
    pub secrets: Arc<WebhookSecrets>,
}

impl Webhooks {
    /// From the settings.
    pub fn from_settings(settings: &Settings) -> Self {
        let targets = Targets::from_settings(&settings.webhooks);
        Self { targets, secrets: Arc::new(WebhookSecrets::from_settings(settings)) }
    }
}
