//! Gives events their order, and publishes them to Kafka in it.
//!
//! The cursor moves after Kafka has acknowledged a page, so a process that dies publishes some of
//! it again: at least once, in order for each account, with the same ids.

use std::time::Duration;

use tokio::sync::{Notify, watch};

use super::RETRY_EVERY;
use super::mail::{MailError, Mailer};
use super::webhooks::{self, Poster};
use crate::clock::{Clock, beat};
use crate::config::Settings;
use crate::ingest::client::KafkaSettings;
use crate::ingest::publisher::{NewRecord, PublishError, Publisher};
use crate::ingest::topics;
use crate::jobs::JobLock;
use crate::json::cloud_event;
use crate::ledger::LedgerError;
use crate::ledger::outbox;
use crate::ledger::store::{AsStoreError, Store, StoreError};
use crate::metrics::{ALERTS, EVENTS_PUBLISHED, OUTBOX_WAITING};
use crate::telemetry::one_line;

/// The consumer that publishes to Kafka.
pub const KAFKA: &str = "kafka";
/// The lock of the process that does it.
const LOCK: &str = "outbox";
/// Time between two looks for new events.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Time between two rounds of deleting old events.
const PURGE_EVERY: Duration = Duration::from_mins(10);
/// Events of one page.
const PAGE: i64 = 500;
/// The longest time until Kafka acknowledges an event.
const ACKNOWLEDGED_MAX: Duration = Duration::from_secs(10);

/// Why nobody can be told with these settings.
#[derive(Debug, thiserror::Error)]
pub enum RelayStartError {
    /// librdkafka refuses a setting.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// TLS cannot be set up.
    #[error("the client of web hooks cannot be created")]
    Client(#[from] reqwest::Error),
    /// A file or the server of mail cannot be used.
    #[error(transparent)]
    Mail(#[from] MailError),
}

/// Why events wait.
#[derive(Debug, thiserror::Error)]
enum RelayError {
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Publish(#[from] PublishError),
    #[error("the topic of events cannot be created")]
    Topic(#[source] rdkafka::error::KafkaError),
}

impl From<StoreError> for RelayError {
    fn from(error: StoreError) -> Self {
        Self::Ledger(error.into())
    }
}

impl RelayError {
    /// True if Postgres is away, which `/readyz` shows.
    fn is_transient(&self) -> bool {
        matches!(self, Self::Ledger(error)
            if error.as_store_error().is_some_and(StoreError::is_transient))
    }
}

/// Orders and publishes events.
#[derive(Debug)]
pub struct Relay {
    store: Store,
    clock: Clock,
    kafka: KafkaSettings,
    topic: String,
    partitions: i32,
    publisher: Publisher,
    poster: Poster,
    mailer: Mailer,
}

impl Relay {
    /// A relay to the topic of the settings.
    ///
    /// # Errors
    /// If a setting, or a file that it names, cannot be used.
    pub fn from_settings(
        settings: &Settings,
        store: Store,
        clock: Clock,
    ) -> Result<Self, RelayStartError> {
        let kafka = KafkaSettings::from(&settings.kafka);
        let topic = settings.kafka.topic_events.clone();
        let publisher = Publisher::open(&kafka, &topic, "outbox", ACKNOWLEDGED_MAX)?;
        let partitions = settings.kafka.partitions;
        let poster = Poster::from_settings(settings, store.clone(), clock.clone())?;
        let mailer = Mailer::from_settings(settings, store.clone(), clock.clone())?;
        Ok(Self { store, clock, kafka, topic, partitions, publisher, poster, mailer })
    }

    /// Runs for ever. Only the process that has the lock does anything.
    pub async fn run(self) {
        loop {
            match JobLock::take(&self.store, LOCK).await {
                Ok(Some(lock)) => drop(lock.hold(Box::pin(self.relay())).await),
                Ok(None) => {}
                Err(error) => tracing::debug!(%error, "events wait"),
            }
            beat(RETRY_EVERY).await;
        }
    }

    async fn relay(&self) {
        let (ordered, news) = watch::channel(());
        let more = Notify::new();
        let make = webhooks::make(&self.store, &self.clock, news.clone(), &more);
        let post = self.poster.post(&more);
        let mail = self.mailer.run(news.clone());
        tokio::join!(self.order(ordered), self.publish(news), self.purge(), make, post, mail);
    }

    /// Gives new events their positions, and wakes the consumers.
    async fn order(&self, ordered: watch::Sender<()>) {
        loop {
            match outbox::order(&self.store).await {
                Ok(0) => {}
                Ok(_) => {
                    // A full step may have left some.
                    ordered.send_replace(());
                    continue;
                }
                Err(error) if error.is_transient() => tracing::debug!(%error, "events wait"),
                Err(error) => tracing::warn!(error = one_line(&error), "events wait"),
            }
            beat(LOOK_EVERY).await;
        }
    }

    async fn publish(&self, mut news: watch::Receiver<()>) {
        let mut has_topic = false;
        loop {
            match self.publish_new(&mut has_topic).await {
                // The ordering ends with the lock.
                Ok(()) if news.changed().await.is_err() => return,
                Ok(()) => {}
                Err(error) => {
                    if error.is_transient() {
                        tracing::debug!(%error, "events wait");
                    } else {
                        tracing::warn!(error = one_line(&error), "events are not published yet");
                    }
                    self.measure().await;
                    beat(RETRY_EVERY).await;
                }
            }
        }
    }

    /// Publishes every event behind the cursor.
    async fn publish_new(&self, has_topic: &mut bool) -> Result<(), RelayError> {
        let mut position = outbox::cursor(&mut *self.store.read().await?, KAFKA).await?;
        loop {
            let events = outbox::after(&mut *self.store.read().await?, position, PAGE).await?;
            let Some(last) = events.last().map(|event| event.position) else {
                metrics::gauge!(OUTBOX_WAITING).set(0.0);
                return Ok(());
            };
            if !*has_topic {
                let made = topics::ensure(&self.kafka, &[&self.topic], self.partitions).await;
                made.map_err(RelayError::Topic)?;
                *has_topic = true;
            }
            let mut records = Vec::with_capacity(events.len());
            let mut alerts = Vec::new();
            for event in events {
                alerts.extend(event.kind.is_alert().then_some(event.kind.as_str()));
                let key = Some(event.account.to_string());
                let value = cloud_event(event)?.to_string().into_bytes();
                records.push(NewRecord { key, value });
            }
            self.publisher.publish(&records).await?;
            outbox::advance(&self.store, KAFKA, last, self.clock.now()).await?;
            let count = u64::try_from(records.len()).unwrap_or_default();
            metrics::counter!(EVENTS_PUBLISHED).increment(count);
            for kind in alerts {
                metrics::counter!(ALERTS, "type" => kind).increment(1);
            }
            position = last;
        }
    }

    async fn measure(&self) {
        let Ok(mut connection) = self.store.read().await else { return };
        if let Ok(waiting) = outbox::waiting(&mut connection, KAFKA).await {
            let events = u32::try_from(waiting.events).unwrap_or(u32::MAX);
            metrics::gauge!(OUTBOX_WAITING).set(f64::from(events));
        }
    }

    async fn purge(&self) {
        loop {
            tokio::time::sleep(PURGE_EVERY).await;
            if let Err(error) = outbox::purge(&self.store, self.clock.now()).await {
                tracing::debug!(%error, "old events are not deleted yet");
            }
        }
    }
}
