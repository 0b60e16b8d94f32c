//! Where the bridge stands: the address that Twilio knows, Kafka, and how much it takes.

use std::time::Duration;

use super::Message;
use crate::config::Settings;
use crate::ingest::client::KafkaSettings;

/// Longest wait for Kafka. Twilio waits 15 s for an answer.
const ACKNOWLEDGED_MAX: Duration = Duration::from_secs(8);

/// What the bridge is told.
#[derive(Clone, Debug)]
pub struct BridgeSettings {
    /// How to reach Kafka.
    pub kafka: KafkaSettings,
    /// Where records go.
    pub topic: String,
    /// The address by which Twilio reaches this service; none: what each request names as its host.
    pub public_url: Option<String>,
    /// Bytes of the longest message.
    pub bytes_max: usize,
    /// Longest wait for Kafka's acknowledgement.
    pub acknowledged_max: Duration,
}

impl BridgeSettings {
    /// Takes them from the settings.
    pub fn of(settings: &Settings) -> Self {
        let kafka = &settings.kafka;
        // So that a request answers by itself before it is given up.
        let answered = u64::from(settings.http.request_seconds_max.saturating_sub(1).max(1));
        Self {
            kafka: KafkaSettings::from(kafka),
            topic: kafka.topic_calls.clone(),
            public_url: settings.http.public_url.clone(),
            bytes_max: settings.twilio.callback_bytes_max,
            acknowledged_max: ACKNOWLEDGED_MAX.min(Duration::from_secs(answered)),
        }
    }

    /// The addresses that Twilio may have called to post this message.
    ///
    /// Where nobody set the public one, the host that the request names is taken at its word. That
    /// weakens nothing but the binding to this host: without the account's token nobody can sign for
    /// any.
    pub(super) fn addresses(&self, message: &Message<'_>) -> Vec<String> {
        let path = message.path_and_query;
        match (&self.public_url, message.host) {
            (Some(url), _) => vec![format!("{}{path}", url.trim_end_matches('/'))],
            (None, Some(host)) => {
                vec![format!("https://{host}{path}"), format!("http://{host}{path}")]
            }
            (None, None) => Vec::new(),
        }
    }
}
