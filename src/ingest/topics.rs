//! Makes the topics that do not exist yet.

use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::client::KafkaSettings;

/// Makes each of `topics` that is missing, with `partitions` partitions and the broker's own
/// replication factor.
///
/// # Errors
/// Where Kafka cannot be asked or refuses: try again later.
pub async fn ensure(
    settings: &KafkaSettings,
    topics: &[&str],
    partitions: i32,
) -> Result<(), KafkaError> {
    let admin: AdminClient<DefaultClientContext> =
        settings.with_options(settings.base()).create()?;
    let wanted: Vec<NewTopic<'_>> = topics
        .iter()
        .map(|topic| NewTopic::new(topic, partitions, TopicReplication::Fixed(-1)))
        .collect();
    let options = AdminOptions::new().request_timeout(Some(Duration::from_secs(10)));
    for result in admin.create_topics(&wanted, &options).await? {
        match result {
            Ok(topic) => tracing::info!(topic, partitions, "topic made"),
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, code)) => {
                tracing::error!(topic, %code, "topic not made");
                return Err(KafkaError::AdminOp(code));
            }
        }
    }
    Ok(())
}
