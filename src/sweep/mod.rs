//! The sweep: finds calls at Twilio that were never charged, and publishes their ends to Kafka.
//!
//! A plain status callback is tried twice within seconds and then lost. So each Twilio account's
//! completed calls are listed and held against `call_keys`; and every hold that expired unsettled is
//! looked up, since its call's end may be what was lost. What is missing goes to the topic of calls,
//! as the callback would have, and is charged there: beside the flow, this is one more source of it.
//!
//! It must never charge by itself. Publishing a call twice is harmless (its key charges it once), so
//! a sweep that was killed is simply run again.

mod event;
mod expired;
mod listing;
mod progress;
mod publisher;

use std::collections::HashSet;

use callmeter_core::domain::CallSid;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

pub use event::SOURCE;
pub use expired::{ExpiredHold, overdue as overdue_holds};
pub use progress::{Failing, failing};
pub use publisher::{PublishError, Publisher};

use crate::clock::Clock;
use crate::config::Settings;
use crate::ingest::client::KafkaSettings;
use crate::ingest::decode::Limits;
use crate::ledger::LedgerError;
use crate::ledger::store::{AsStoreError, Store, StoreError};
use crate::twilio::{AccessError, Accesses, TwilioClient, TwilioError};

/// The job's name, also that of its lock.
pub const NAME: &str = "sweep";

/// A stretch of time, half-open: calls that started in it are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    /// The first instant.
    pub from: DateTime<Utc>,
    /// The first instant after it.
    pub to: DateTime<Utc>,
}

/// What the sweep works with.
#[derive(Clone, Debug)]
pub struct Sweeper {
    /// The ledger, which is only read, and the sweep's own tables.
    pub store: Store,
    /// Twilio.
    pub twilio: TwilioClient,
    /// As whom each Twilio account is asked.
    pub accesses: Accesses,
    /// Kafka.
    pub publisher: Publisher,
    /// The present.
    pub clock: Clock,
    /// What the decoder will accept.
    pub limits: Limits,
    /// Twilio accounts that are listed at the same time.
    pub accounts_at_once: usize,
}

/// What a sweep found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// Twilio accounts that were listed to the end.
    pub accounts: u64,
    /// Completed calls that Twilio listed, once on each page.
    pub calls: u64,
    /// Calls that were not charged, and went to Kafka.
    pub published: u64,
    /// Calls that Twilio tells in full and that cannot be charged, by their length: they are kept as
    /// rejects, to which they went now or in an earlier sweep.
    pub rejected: u64,
    /// Rows that cannot be used: Twilio tells no end or no duration, or what cannot be read.
    pub unusable: u64,
    /// Expired holds whose calls Twilio was asked about.
    pub holds_looked_up: u64,
    /// Of these, those whose call had ended and went to Kafka.
    pub holds_published: u64,
    /// Twilio accounts that nobody gave credentials for.
    pub not_configured: Vec<String>,
    /// Twilio accounts that could not be listed.
    pub failed: Vec<Failure>,
    /// Calls of expired holds, by Twilio account, that went to Kafka in this sweep already.
    #[serde(skip)]
    handed_over: HashSet<(i32, CallSid)>,
}

/// Why one Twilio account was not swept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The Twilio account.
    pub twilio_account_sid: String,
    /// Why.
    pub error: String,
}

/// Why a sweep ended early.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// Postgres cannot be asked.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Kafka does not take what was found; nothing is lost, the next sweep finds it again.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// Twilio answers for no account.
    #[error("{error}, for one account after the other; the next sweep goes on from here")]
    TwilioAway {
        /// What happened last.
        error: String,
    },
    /// Twilio does not answer for an account.
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
    /// Prepares a sweep as the settings say; connects when it is first used.
    ///
    /// # Errors
    /// Where a setting of Kafka or Twilio cannot be used.
    pub fn of(settings: &Settings, store: Store, clock: Clock) -> Result<Self, SweepError> {
        let kafka = KafkaSettings::from(&settings.kafka);
        Ok(Self {
            store,
            twilio: TwilioClient::open(&settings.twilio.api_base)?,
            accesses: Accesses::of(settings, clock.clone()),
            publisher: Publisher::open(&kafka, &settings.kafka.topic_calls)?,
            clock,
            limits: Limits {
                call_seconds_max: settings.charging.call_seconds_max,
                end_ahead_seconds_max: settings.charging.end_ahead_seconds_max,
            },
            accounts_at_once: settings.sweep.accounts_at_once,
        })
    }

    /// Sweeps one period of every Twilio account, and the expired holds that are due.
    ///
    /// # Errors
    /// Where Postgres or Kafka fail; what fails at Twilio is in the report, and holds up no other
    /// account.
    pub async fn sweep(&self, period: Period) -> Result<Report, SweepError> {
        let mut report = Report::default();
        self.look_up_expired_holds(&mut report).await?;
        self.list_accounts(&mut report, |_| period, false).await?;
        Ok(report)
    }

    /// Sweeps every Twilio account from where it was swept last, less `overlap`, to the present.
    ///
    /// # Errors
    /// As [`Self::sweep`].
    pub async fn sweep_on(&self, overlap: TimeDelta) -> Result<Report, SweepError> {
        let mut report = Report::default();
        self.look_up_expired_holds(&mut report).await?;
        let to = self.clock.now();
        let since = |swept_to: Option<DateTime<Utc>>| {
            // One that failed for long is swept from where it was, within reason.
            let last = swept_to.unwrap_or(to).clamp(to - progress::REACH_MAX, to);
            Period { from: last - overlap, to }
        };
        self.list_accounts(&mut report, since, true).await?;
        Ok(report)
    }
}

impl Report {
    /// Nothing could be asked at all: no Twilio account has credentials, and there are some.
    pub fn is_not_configured(&self) -> bool {
        !self.not_configured.is_empty() && self.accounts == 0 && self.failed.is_empty()
    }
}
