//! Numbers for customers: search, purchase, rent and release through Twilio.
//!
//! Beside the flow: HTTP, commands and the role `jobs` call the use cases here. A number is a row
//! with a state; `callmeter_core::policy::purchase_state` says which step comes next, and `advance`
//! takes it. Only this module asks Twilio to sell a number or to take one back. The periods after the
//! first are published to Kafka and charged like any other record.
//!
//! It must never ask Twilio to sell a number before its price is debited, nor assume that a request
//! without an answer had no effect.

mod advance;
mod book;
mod check;
mod facts;
mod mark;
mod purchase;
mod recover;
mod release;
mod rentals;
mod search;

use std::sync::Arc;
use std::time::Duration;

use callmeter_core::domain::{CatalogHistory, RentalAnchor, TwilioAccountSid};
use chrono::TimeDelta;
use futures::future::BoxFuture;
use tokio::time::Instant;

pub(crate) use advance::{NO_ADDRESS, NO_ANSWER};
pub use check::{NAME, Report};
pub(crate) use purchase::{NotBought, PurchaseRequest};
pub use recover::{NotRestored, RestoredNumbers};
pub(crate) use release::NotReleased;
pub(crate) use search::SearchRequest;

use crate::change::{ChangeError, Changes};
use crate::clock::Clock;
use crate::config::Settings;
use crate::ingest::client::KafkaSettings;
use crate::ingest::publisher::{PublishError, Publisher};
use crate::ledger::LedgerError;
use crate::ledger::catalogs::{self, Cache};
use crate::ledger::payments::recovery;
use crate::ledger::store::{AsStoreError, Store, StoreError};
use crate::twilio::{AccessError, Accesses, Credentials, TwilioClient, TwilioError};
use crate::wallet::Wallets;

/// The longest time until Kafka acknowledges a period.
const ACKNOWLEDGED_MAX: Duration = Duration::from_secs(10);

/// Why a use case of numbers ends without a result.
#[derive(Debug, thiserror::Error)]
pub enum NumberError {
    /// The ledger could not be read or written.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The change is committed, but authorizations may not see it yet.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// Twilio did not do what it was asked for.
    #[error(transparent)]
    Twilio(#[from] TwilioError),
    /// Kafka did not take a period; it is published again.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The ledger went back in time: `callmeter recover` brings back what it lacks.
    #[error("the ledger may lack numbers that twilio has: run callmeter recover")]
    RecoveryNeeded,
    /// Nobody knows how much calls hold, so no money can be set aside.
    #[error("holds are unknown right now")]
    HoldsUnknown,
}

impl From<StoreError> for NumberError {
    fn from(error: StoreError) -> Self {
        Self::Ledger(error.into())
    }
}

impl From<AccessError> for NumberError {
    fn from(error: AccessError) -> Self {
        match error {
            AccessError::Ledger(error) => Self::Ledger(error),
            AccessError::Twilio(error) => Self::Twilio(error),
        }
    }
}

impl AsStoreError for NumberError {
    fn as_store_error(&self) -> Option<&StoreError> {
        match self {
            Self::Ledger(error) | Self::Change(ChangeError::Ledger(error)) => {
                error.as_store_error()
            }
            _ => None,
        }
    }
}

impl NumberError {
    /// True if Postgres is away, which `/readyz` shows.
    pub fn is_transient(&self) -> bool {
        self.as_store_error().is_some_and(StoreError::is_transient)
    }
}

/// The settings of numbers.
#[derive(Clone, Debug)]
struct NumberSettings {
    timeout: Duration,
    retry: TimeDelta,
    anchor: RentalAnchor,
    releases_automatically: bool,
    releases_on_close: bool,
    status_callback: Option<String>,
    voice_url: Option<String>,
    voice_application_sid: Option<String>,
    trunk_sid: Option<String>,
    /// The Twilio account of the settings, for a search that names no account.
    own_account: Option<TwilioAccountSid>,
}

/// The use cases of numbers. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Numbers(Arc<Inner>);

/// The parts of [`Numbers`].
#[derive(Debug)]
pub struct Inner {
    store: Store,
    changes: Changes,
    wallets: Wallets,
    twilio: TwilioClient,
    accesses: Accesses,
    publisher: Publisher,
    catalogs: Cache,
    clock: Clock,
    settings: NumberSettings,
}

impl std::ops::Deref for Numbers {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl Numbers {
    /// The use cases, by the settings; connects on first use.
    ///
    /// # Errors
    /// If a setting of Twilio or Kafka is invalid.
    pub fn from_settings(
        settings: &Settings,
        store: Store,
        changes: Changes,
        clock: Clock,
    ) -> Result<Self, NumberError> {
        let (numbers, kafka) = (&settings.numbers, KafkaSettings::from(&settings.kafka));
        let request_max = settings.http.request_seconds_max.saturating_sub(1).max(1);
        let topic = &settings.kafka.topic_rentals;
        let own_account = settings.twilio.account_sid.as_deref();
        let low_balance = settings.wallet.low_balance_threshold;
        let wallets = Wallets::new(store.clone(), changes.balance().clone(), low_balance);
        let callback =
            |base: &String| format!("{}/webhooks/twilio/voice", base.trim_end_matches('/'));
        Ok(Self(Arc::new(Inner {
            wallets,
            twilio: TwilioClient::open(&settings.twilio.api_base)?,
            accesses: Accesses::from_settings(settings, clock.clone()),
            publisher: Publisher::open(&kafka, topic, "rentals", ACKNOWLEDGED_MAX)?,
            catalogs: Cache::default(),
            settings: NumberSettings {
                timeout: Duration::from_secs(numbers.timeout_seconds.min(request_max).into()),
                retry: TimeDelta::seconds(numbers.retry_seconds.into()),
                anchor: settings.rentals.anchor,
                releases_automatically: numbers.release_automatically,
                releases_on_close: numbers.release_on_close,
                status_callback: settings.http.public_url.as_ref().map(callback),
                voice_url: numbers.voice_url.clone(),
                voice_application_sid: numbers.voice_application_sid.clone(),
                trunk_sid: numbers.trunk_sid.clone(),
                own_account: own_account.and_then(|sid| TwilioAccountSid::parse(sid).ok()),
            },
            store,
            changes,
            clock,
        })))
    }

    /// Until when all questions to Twilio of a request that begins now may take.
    fn deadline(&self) -> Instant {
        Instant::now() + self.settings.timeout
    }

    /// A request works on a number for the time limit; a process that died frees it soon after.
    fn claim_time(&self) -> TimeDelta {
        TimeDelta::from_std(self.settings.timeout).unwrap_or_default() + TimeDelta::seconds(1)
    }

    /// Asks Twilio, until `deadline`, with each of the account's credentials until one may log in.
    async fn ask<'a, T, F>(
        &'a self,
        account: &TwilioAccountSid,
        deadline: Instant,
        question: F,
    ) -> Result<T, NumberError>
    where
        F: for<'c> Fn(&'c Credentials) -> BoxFuture<'c, Result<T, TwilioError>> + Send + Sync + 'a,
    {
        let mut refused = TwilioError::NotConfigured;
        for credentials in self.accesses.for_account(&self.store, account).await? {
            match tokio::time::timeout_at(deadline, question(&credentials)).await {
                Ok(Err(error @ TwilioError::Unauthorized { .. })) => refused = error,
                Ok(answer) => return Ok(answer?),
                Err(_) => {
                    let what = "no answer in time".to_owned();
                    return Err(TwilioError::Unavailable { what }.into());
                }
            }
        }
        Err(refused.into())
    }

    /// The catalog's history; `None`: no catalog was accepted yet.
    async fn catalog(&self) -> Result<Option<Arc<CatalogHistory>>, NumberError> {
        let mut connection = self.store.read().await?;
        let Some(stamp) = catalogs::latest(&mut connection).await? else { return Ok(None) };
        Ok(Some(self.catalogs.at(&mut connection, stamp).await?))
    }

    /// Fails if acts on money must wait.
    async fn check_recovery(&self) -> Result<(), NumberError> {
        let required = recovery::required(&mut *self.store.read().await?).await?;
        required.map_or(Ok(()), |_| Err(NumberError::RecoveryNeeded))
    }
}
