//! A producer that uses no CPU while nothing is published.
//!
//! The client library's own producer polls ten times a second and spins through the last
//! millisecond of each poll: one percent of a core for nothing (decision 0044). This one blocks in
//! its poll, which handles delivery reports as they arrive.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::client::{POLL_WAIT, poll_while_owned};

/// Pause before a record is offered to a full queue again.
const FULL_PAUSE: Duration = Duration::from_millis(10);

/// Receives the delivery report of one record.
type Waiting = Box<oneshot::Sender<KafkaResult<()>>>;

/// Logs the client's errors and passes on delivery reports.
#[derive(Clone, Debug)]
struct Context;

impl ClientContext for Context {
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!(%error, reason, "kafka producer");
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = Waiting;

    fn delivery(&self, result: &DeliveryResult<'_>, waiting: Waiting) {
        let delivered = match result {
            Ok(_) => Ok(()),
            Err((error, _)) => Err(error.clone()),
        };
        // The caller may have given up.
        let _ = waiting.send(delivered);
    }
}

/// A record to send.
pub struct Outgoing<'a> {
    /// Topic.
    pub topic: &'a str,
    /// Key; records of one key keep their order.
    pub key: Option<&'a str>,
    /// Value.
    pub value: &'a [u8],
    /// Headers, if any.
    pub headers: Option<OwnedHeaders>,
}

/// A client that publishes.
pub struct Producer {
    client: Arc<BaseProducer<Context>>,
}

impl Producer {
    /// Starts the client and its polling thread; connects in the background.
    ///
    /// # Errors
    /// If librdkafka refuses a setting, or the system cannot start a thread.
    pub fn open(config: &ClientConfig) -> KafkaResult<Self> {
        let client: Arc<BaseProducer<Context>> = Arc::new(config.create_with_context(Context)?);
        poll_while_owned("producer", &client, |client| client.poll(POLL_WAIT))?;
        Ok(Self { client })
    }

    /// Sends a record and waits until it is acknowledged. `queued_max` bounds the wait for a place
    /// in the queue, `message.timeout.ms` the rest.
    ///
    /// # Errors
    /// If it is not acknowledged; it may still have been written.
    pub async fn send(&self, record: Outgoing<'_>, queued_max: Duration) -> KafkaResult<()> {
        let Outgoing { topic, key, value, headers } = record;
        let (waiting, delivered) = oneshot::channel();
        let mut record = BaseRecord::<str, [u8], Waiting>::with_opaque_to(topic, Box::new(waiting))
            .payload(value);
        if let Some(key) = key {
            record = record.key(key);
        }
        if let Some(headers) = headers {
            record = record.headers(headers);
        }
        let latest = Instant::now() + queued_max;
        while let Err((error, refused)) = self.client.send(record) {
            let is_full = error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull);
            if !is_full || Instant::now() >= latest {
                return Err(error);
            }
            record = refused;
            tokio::time::sleep(FULL_PAUSE).await;
        }
        delivered.await.unwrap_or(Err(KafkaError::Canceled))
    }

    /// The fatal error of the client, if it has one.
    pub fn fatal_error(&self) -> Option<(RDKafkaErrorCode, String)> {
        self.client.client().fatal_error()
    }
}
