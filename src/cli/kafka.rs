//! Kafka for commands.

use rdkafka::error::KafkaError;

use super::CommandError;
use crate::ingest::client::KafkaSettings;
use crate::ingest::inspect::Inspector;

/// Says that Kafka could not be asked, and what to look at.
pub(super) fn reached(kafka: &KafkaSettings, error: &KafkaError) -> CommandError {
    CommandError::Refused(format!(
        "Kafka at {} could not be asked: {error}; check kafka.brokers and that it runs",
        kafka.brokers
    ))
}

/// Queries Kafka on a thread that may block.
pub(super) async fn ask<T: Send + 'static>(
    kafka: KafkaSettings,
    question: impl FnOnce(&Inspector) -> Result<T, KafkaError> + Send + 'static,
) -> Result<T, CommandError> {
    let settings = kafka.clone();
    let asked = tokio::task::spawn_blocking(move || question(&Inspector::open(&settings)?));
    let asked = asked.await.map_err(|error| CommandError::Refused(error.to_string()))?;
    asked.map_err(|error| reached(&kafka, &error))
}
