//! Replays rejected records under the current rules.
//!
//! The charging transaction itself notes the replay in the audit, so this is no
//! [`Change`](crate::change::Change) of its own. It must not return before every later authorization
//! sees what was debited.

use callmeter_core::domain::Money;
use rdkafka::error::KafkaError;
use tokio::task::JoinError;

use crate::change::{Affected, ChangeError, Changes};
use crate::config::Settings;
use crate::ingest::client::KafkaSettings;
use crate::ingest::decode::{Limits, Topic};
use crate::ingest::inspect::Inspector;
use crate::ledger::LedgerError;
use crate::ledger::audit::By;
use crate::ledger::batch::{Charger, ChargingPolicy, CommitError};
use crate::ledger::rejects::{self, Reject, RejectedRecord};
use crate::ledger::store::Store;

/// Seconds until a rental that could not be paid is tried again.
const SECONDS_A_DAY: u32 = 86_400;

/// What became of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplayedReject {
    /// In one word or a few.
    pub outcome: &'static str,
    /// Micro-dollars taken from the wallet.
    pub debited: Money,
    /// Whether the reject had been closed.
    pub was_closed: bool,
}

/// Why a reject was not replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// There is no such reject.
    #[error("there is no reject {0}")]
    Unknown(i64),
    /// The record's bytes are left in Kafka, which cannot be asked.
    #[error(
        "Kafka at {brokers} could not be asked: {source}; check kafka.brokers and that it runs"
    )]
    Kafka {
        /// Where it was looked for.
        brokers: String,
        /// Why.
        source: KafkaError,
    },
    /// The process has no thread left to ask Kafka on.
    #[error("Kafka could not be asked: {0}")]
    Thread(#[from] JoinError),
    /// Nothing was charged.
    #[error("reject {id} was not replayed: {source}")]
    Refused {
        /// The reject.
        id: i64,
        /// Why.
        source: CommitError,
    },
    /// The ledger could not be asked, or authorizations may not see the debit yet.
    #[error(transparent)]
    Change(#[from] ChangeError),
}

impl From<LedgerError> for ReplayError {
    fn from(error: LedgerError) -> Self {
        Self::Change(error.into())
    }
}

/// Replays rejects, one at a time.
#[derive(Debug)]
pub struct Replays {
    charger: Charger,
    changes: Changes,
    kafka: KafkaSettings,
    topic_rentals: String,
    limits: Limits,
}

impl Replays {
    /// Charges as the settings say, and shows debits through `changes`.
    pub fn new(settings: &Settings, store: Store, changes: Changes) -> Self {
        let charging = &settings.charging;
        let policy = ChargingPolicy {
            zero_duration_completed: charging.zero_duration_completed,
            rental_retry_seconds: SECONDS_A_DAY,
        };
        let limits = Limits {
            call_seconds_max: charging.call_seconds_max,
            end_ahead_seconds_max: charging.end_ahead_seconds_max,
        };
        Self {
            charger: Charger::new(store, policy),
            changes,
            kafka: KafkaSettings::from(&settings.kafka),
            topic_rentals: settings.kafka.topic_rentals.clone(),
            limits,
        }
    }

    /// Replays one reject; a record that is not kept is read from Kafka again. One that was settled
    /// before is left as it is.
    ///
    /// # Errors
    /// Why it was not replayed, or why its debit may be missed for a while.
    pub async fn replay(&self, id: i64, by: &By) -> Result<ReplayedReject, ReplayError> {
        let record = rejects::show(self.charger.store(), id).await.map_err(LedgerError::from)?;
        let record = record.ok_or(ReplayError::Unknown(id))?;
        let was_closed = record.reject.closed_at.is_some();
        let nothing = |outcome| ReplayedReject { outcome, debited: Money::ZERO, was_closed };
        if record.reject.replayed_at.is_some() {
            return Ok(nothing("replayed before"));
        }
        let fetched = if record.is_left_in_kafka() {
            match self.fetch(&record.reject).await? {
                Some(value) => Some(value),
                None => return Ok(nothing("no longer in Kafka")),
            }
        } else {
            None
        };
        self.charge(&record, fetched.as_deref().or(record.value.as_deref()), by).await
    }

    async fn fetch(&self, reject: &Reject) -> Result<Option<Vec<u8>>, ReplayError> {
        let (kafka, reject) = (self.kafka.clone(), reject.clone());
        let fetched = tokio::task::spawn_blocking(move || {
            Inspector::open(&kafka)?.value(&reject.topic, reject.partition, reject.offset)
        });
        let brokers = || self.kafka.brokers.clone();
        fetched.await?.map_err(|source| ReplayError::Kafka { brokers: brokers(), source })
    }

    async fn charge(
        &self,
        record: &RejectedRecord,
        value: Option<&[u8]>,
        by: &By,
    ) -> Result<ReplayedReject, ReplayError> {
        let reject = &record.reject;
        let is_rental = reject.topic == self.topic_rentals;
        let topic = if is_rental { Topic::Rentals } else { Topic::Calls };
        let replayed =
            match rejects::replay(&self.charger, record, value, topic, self.limits, by).await {
                Ok(replayed) => replayed,
                Err(CommitError::Store(error)) => return Err(LedgerError::from(error).into()),
                Err(CommitError::Catalog(error)) => return Err(error.into()),
                Err(source) => return Err(ReplayError::Refused { id: reject.id, source }),
            };
        let (outcome, debited) = (replayed.outcome.as_str(), replayed.debited);
        self.changes
            .make_visible(Affected { accounts: replayed.accounts, revoked_key: None })
            .await?;
        Ok(ReplayedReject { outcome, debited, was_closed: reject.closed_at.is_some() })
    }
}
