//! Creates missing topics and counts the existing ones.

use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::client::{Consumer, KafkaSettings};

/// Timeout of one metadata request.
const METADATA_TIMEOUT: Duration = Duration::from_secs(2);

/// Creates each missing topic of `topics` with `partitions` partitions and the broker's default
/// replication factor.
///
/// # Errors
/// If Kafka cannot be reached or refuses: try again later.
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
            Ok(topic) => tracing::info!(topic, partitions, "topic created"),
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, code)) => {
                tracing::debug!(topic, %code, "topic not created");
                return Err(KafkaError::AdminOp(code));
            }
        }
    }
    Ok(())
}

/// How many of `topics` exist, by the member's own metadata. Blocks for up to 2 s per topic.
pub fn known(consumer: &Consumer, topics: &[String]) -> usize {
    let is_known = |topic: &&String| {
        let metadata = consumer.fetch_metadata(Some(topic), METADATA_TIMEOUT);
        metadata.is_ok_and(|it| it.topics().iter().any(|topic| !topic.partitions().is_empty()))
    };
    topics.iter().filter(is_known).count()
}
