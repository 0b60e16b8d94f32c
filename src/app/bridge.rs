//! Wires the bridge: it publishes to Kafka what Twilio posts to this process.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context;
use tokio::task::JoinSet;

use super::{App, Role, one_line};
use crate::bridge::{Bridge, BridgeSettings};
use crate::ingest::client::KafkaSettings;
use crate::ingest::topics;
use crate::ledger::shared_keys::SharedKeys;
use crate::ledger::tokens::TwilioTokens;

/// Time between two attempts to create the topic.
const TOPIC_EVERY: Duration = Duration::from_secs(2);

impl App {
    /// Opens the bridge. Without a meter in this process it also creates the topic.
    pub(super) fn open_bridge(
        &self,
        stages: &mut JoinSet<anyhow::Result<()>>,
        roles: &BTreeSet<Role>,
    ) -> anyhow::Result<Bridge> {
        let settings = &self.settings;
        if settings.http.admin_key.is_some() && settings.secrets.key.is_none() {
            tracing::warn!(
                "secrets.key is not set: auth tokens and shared keys are sealed with \
                 http.admin_key and are lost when it changes"
            );
        }
        let bridge = BridgeSettings::from_settings(settings);
        if !roles.contains(&Role::Meter) {
            let made = self.clone().make_topic(bridge.kafka.clone());
            let made = self.clone().until_shutdown(made);
            stages.spawn(made);
        }
        let (tokens, keys) =
            (TwilioTokens::from_settings(settings), SharedKeys::from_settings(settings));
        let bridge = Bridge::open(bridge, tokens, keys, self.store.clone(), self.clock.clone());
        bridge.context("the bridge for Twilio's callbacks cannot start")
    }

    /// Creates the topic of calls as soon as Kafka is reachable, then waits for the shutdown.
    async fn make_topic(self, kafka: KafkaSettings) {
        let settings = &self.settings.kafka;
        while let Err(error) =
            topics::ensure(&kafka, &[&settings.topic_calls], settings.partitions).await
        {
            tracing::warn!(error = one_line(&error), "the topic of calls cannot be created yet");
            tokio::time::sleep(TOPIC_EVERY).await;
        }
        std::future::pending::<()>().await;
    }
}
