//! What commands need of Kafka.

use rdkafka::error::KafkaError;

use super::CommandError;
use crate::config::Settings;
use crate::ingest::client::KafkaSettings;

/// How to reach Kafka, as the settings say.
pub(super) fn kafka_settings(settings: &Settings) -> KafkaSettings {
    let kafka = &settings.kafka;
    let options = kafka.options.iter();
    KafkaSettings {
        brokers: kafka.brokers.clone(),
        group: kafka.group.clone(),
        options: options.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
    }
}

/// Says that Kafka could not be asked, and what to look at.
pub(super) fn reached(kafka: &KafkaSettings, error: &KafkaError) -> CommandError {
    CommandError::Refused(format!(
        "Kafka at {} could not be asked: {error}; check kafka.brokers and that it runs",
        kafka.brokers
    ))
}
