//! The sweep: finds calls at Twilio that were never charged, and publishes their ends to Kafka.
//!
//! A plain status callback is tried twice within seconds and then lost. So the completed calls of
//! each Twilio account are listed and compared with `call_keys`. Every expired hold is looked up
//! too, since the end of its call may be lost. Missing calls are published to the topic of calls,
//! as the callback would have been, and are charged from there: for the flow, the sweep is one more
//! source.
//!
//! The sweep must never charge. Publishing a call twice is harmless (its key charges it once), so a
//! sweep that was killed is simply run again.

mod event;
mod expired;
mod listing;
mod progress;

use std::collections::HashSet;
use std::time::Duration;

use callmeter_core::domain::{CallSid, TwilioAccountSid};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

pub use event::SOURCE;
pub use expired::{ExpiredHold, overdue as overdue_holds};
pub use progress::{Failing, failing};

use crate::clock::Clock;
use crate::config::Settings;
use crate::ingest::client::KafkaSettings;
use crate::ingest::decode::Limits;
use crate::ingest::publisher::{NewRecord, PublishError, Publisher};
use crate::ledger::LedgerError;
use crate::ledger::store::{AsStoreError, Store, StoreError};
use crate::twilio::{AccessError, Accesses, TwilioClient, TwilioError};

/// Longest time until a record is acknowledged; then the sweep fails, and is run again.
const ACKNOWLEDGED_MAX: Duration = Duration::from_secs(20);
/// Name of the job and of its lock.
pub const NAME: &str = "sweep";

/// A half-open period: covers the calls that started in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    /// Start, inclusive.
    pub from: DateTime<Utc>,
    /// End, exclusive.
    pub to: DateTime<Utc>,
}

/// The clients and settings of a sweep.
#[derive(Clone, Debug)]
pub struct Sweeper {
    /// The ledger, which is only read, and the sweep's own tables.
    pub store: Store,
    /// Twilio.
    pub twilio: TwilioClient,
    /// The credentials of each Twilio account.
    pub accesses: Accesses,
    /// Kafka.
    pub publisher: Publisher,
    /// The clock.
    pub clock: Clock,
    /// Limits of the decoder.
    pub limits: Limits,
    /// Twilio accounts listed at the same time.
    pub accounts_at_once: usize,
}

/// The result of a sweep.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// Twilio accounts that were listed completely.
    pub accounts: u64,
    /// Completed calls that Twilio listed, counted once per page.
    pub calls: u64,
    /// Uncharged calls that were published to Kafka.
    pub published: u64,
    /// Calls that Twilio reports in full but that cannot be charged because of their length: they
    /// are kept as rejects, from this sweep or an earlier one.
    pub rejected: u64,
    /// Unusable rows: without an end or a duration, or unreadable.
    pub unusable: u64,
    /// Expired holds looked up at Twilio.
    pub holds_looked_up: u64,
    /// Of these, those whose call had ended and was published to Kafka.
    pub holds_published: u64,
    /// Twilio accounts without credentials.
    pub not_configured: Vec<String>,
    /// Twilio accounts that could not be listed.
    pub failed: Vec<Failure>,
    /// Calls of expired holds, by Twilio account, already published in this sweep.
    #[serde(skip)]
    handed_over: HashSet<(i32, CallSid)>,
}

/// Why one Twilio account was not swept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The Twilio account.
    pub twilio_account_sid: String,
    /// The error.
    pub error: String,
}

/// Why a sweep ended early.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// Postgres could not be read or written.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Kafka does not accept records. Nothing is lost: the next sweep finds the calls again.
    #[error("a record was not published; the next sweep finds it again")]
    Publish(#[from] PublishError),
    /// Twilio is unavailable for every account.
    #[error("{error}, for one account after the other; the next sweep goes on from here")]
    TwilioAway {
        /// The last error.
        error: String,
    },
    /// Twilio failed for an account.
    #[error(transparent)]
    Twilio(#[from] TwilioError),
}

impl From<StoreError> for SweepError {
    fn from(error: StoreError) -> Self {
        Self::Ledger(error.into())
    }
}

impl From<AccessError> for SweepError {
    fn from(error: AccessError) -> Self {
        match error {
            AccessError::Ledger(error) => Self::Ledger(error),
            AccessError::Twilio(error) => Self::Twilio(error),
        }
    }
}

impl AsStoreError for SweepError {
    fn as_store_error(&self) -> Option<&StoreError> {
        match self {
            Self::Ledger(error) => error.as_store_error(),
            _ => None,
        }
    }
}

impl Sweeper {
    /// Prepares a sweep from the settings; connects on first use.
    ///
    /// # Errors
    /// If a Kafka or Twilio setting is invalid.
    pub fn from_settings(
        settings: &Settings,
        store: Store,
        clock: Clock,
    ) -> Result<Self, SweepError> {
        let kafka = KafkaSettings::from(&settings.kafka);
        let topic = &settings.kafka.topic_calls;
        Ok(Self {
            store,
            twilio: TwilioClient::open(&settings.twilio.api_base)?,
            accesses: Accesses::from_settings(settings, clock.clone()),
            publisher: Publisher::open(&kafka, topic, "sweep", ACKNOWLEDGED_MAX)?,
            clock,
            limits: Limits {
                call_seconds_max: settings.charging.call_seconds_max,
                end_ahead_seconds_max: settings.charging.end_ahead_seconds_max,
            },
            accounts_at_once: settings.sweep.accounts_at_once,
        })
    }

    /// Publishes records under their `AccountSid`.
    async fn publish(
        &self,
        sid: &TwilioAccountSid,
        records: Vec<Vec<u8>>,
    ) -> Result<(), PublishError> {
        let key = || Some(sid.as_str().to_owned());
        let records = records.into_iter().map(|value| NewRecord { key: key(), value });
        self.publisher.publish(&records.collect::<Vec<_>>()).await
    }

    /// Sweeps one period of every Twilio account, and the expired holds that are due.
    ///
    /// # Errors
    /// If Postgres or Kafka fail. An error of Twilio is in the report and does not stop other
    /// accounts.
    pub async fn sweep(&self, period: Period) -> Result<Report, SweepError> {
        let mut report = Report::default();
        self.look_up_expired_holds(&mut report).await?;
        self.list_accounts(&mut report, |_| period, false).await?;
        Ok(report)
    }

    /// Sweeps every Twilio account from its last sweep, less `overlap`, until now.
    ///
    /// # Errors
    /// As [`Self::sweep`].
    pub async fn sweep_on(&self, overlap: TimeDelta) -> Result<Report, SweepError> {
        let mut report = Report::default();
        self.look_up_expired_holds(&mut report).await?;
        let to = self.clock.now();
        let since = |swept_to: Option<DateTime<Utc>>| {
            // An account that failed for long is swept from where it was, within a limit.
            let last = swept_to.unwrap_or(to).clamp(to - progress::REACH_MAX, to);
            Period { from: last - overlap, to }
        };
        self.list_accounts(&mut report, since, true).await?;
        Ok(report)
    }
}

impl Report {
    /// True if nothing could be listed: there are Twilio accounts, and none has credentials.
    pub fn is_not_configured(&self) -> bool {
        !self.not_configured.is_empty() && self.accounts == 0 && self.failed.is_empty()
    }
}
