//! Settings of the bridge: the address that Twilio uses, Kafka, and limits.

use std::time::Duration;

use super::Message;
use crate::config::Settings;
use crate::ingest::client::KafkaSettings;

/// Longest wait for Kafka. Twilio waits 15 s for an answer.
const ACKNOWLEDGED_MAX: Duration = Duration::from_secs(8);

/// Settings of the bridge.
#[derive(Clone, Debug)]
pub struct BridgeSettings {
    /// How to reach Kafka.
    pub kafka: KafkaSettings,
    /// The topic of its records.
    pub topic: String,
    /// The address at which Twilio reaches this service; none: the host of each request.
    pub public_url: Option<String>,
    /// Bytes of the longest message.
    pub bytes_max: usize,
    /// Longest wait for Kafka's acknowledgement.
    pub acknowledged_max: Duration,
}

impl BridgeSettings {
    /// Takes them from the settings.
    pub fn from_settings(settings: &Settings) -> Self {
        let kafka = &settings.kafka;
        // So that the wait ends before the time limit of the request.
        let answered = u64::from(settings.http.request_seconds_max.saturating_sub(1).max(1));
        Self {
            kafka: KafkaSettings::from(kafka),
            topic: kafka.topic_calls.clone(),
            public_url: settings.http.public_url.clone(),
            bytes_max: settings.twilio.callback_bytes_max,
            acknowledged_max: ACKNOWLEDGED_MAX.min(Duration::from_secs(answered)),
        }
    }

    /// The addresses to which Twilio may have posted this message.
    ///
    /// Without a public address the host of the request counts. Then a signature is not bound to
    /// this host; only the account's token can still create one.
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
