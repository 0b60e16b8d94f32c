//! The state that the floors above share, behind one handle: [`Balance`].

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use callmeter_core::domain::{AccountId, Money, TwilioAccountSid};
use tokio::sync::Semaphore;

use crate::balance::journal::Journal;
use crate::balance::journal::denials::Denials;
use crate::balance::lease::Lease;
use crate::balance::model::{BalanceError, Document, HoldSettings, Recent};
use crate::balance::redis::Redis;
use crate::balance::status_events::{Projector, Work};
use crate::clock::Clock;
use crate::ledger::catalogs;
use crate::ledger::store::Store;

/// Accounts that are loaded at the same time.
const LOADS_MAX: usize = 16;
/// Calls of this process that Postgres decides about at the same time, while Redis is away.
const FALLBACKS_MAX: usize = 4;
/// Documents, and payers, of one generation that a process keeps.
const KEPT_MAX: usize = 50_000;

/// Wallets and holds in Redis; cheap to clone.
#[derive(Clone, Debug)]
pub struct Balance(pub(crate) Arc<Shared>);

#[derive(Debug)]
pub(crate) struct Shared {
    pub redis: Redis,
    pub store: Store,
    pub clock: Clock,
    pub settings: HoldSettings,
    pub journal: Journal,
    pub denials: Denials,
    pub catalogs: catalogs::Cache,
    pub lease: Lease,
    pub projector: Projector,
    /// Micro-dollars of the holds that were journaled too late for a load.
    pub restored_late: AtomicI64,
    pub documents: Mutex<Recent<AccountId, Arc<Document>>>,
    pub payers: Mutex<Recent<TwilioAccountSid, AccountId>>,
    pub loading: Mutex<HashMap<AccountId, Arc<Turn>>>,
    pub loads: Semaphore,
    pub fallbacks: Semaphore,
    /// The projector's queue; the loop takes it.
    pub work: Mutex<Option<Work>>,
}

/// One account's loads, one at a time.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    pub alone: tokio::sync::Mutex<()>,
    pub loads: AtomicU64,
}

impl Balance {
    /// Prepares the shared state; connects on first use.
    ///
    /// # Errors
    /// `Refused` if the URL cannot be read.
    pub fn open(
        redis_url: &str,
        store: Store,
        clock: Clock,
        settings: HoldSettings,
    ) -> Result<Self, BalanceError> {
        let (projector, work) = Projector::new();
        Ok(Self(Arc::new(Shared {
            redis: Redis::open(redis_url, clock.clone(), settings.redis_clock_offset_micros)?,
            journal: Journal::new(store.clone(), clock.clone(), &settings),
            denials: Denials::new(store.clone(), clock.clone()),
            catalogs: catalogs::Cache::default(),
            lease: Lease::default(),
            projector,
            restored_late: AtomicI64::new(0),
            documents: Mutex::new(Recent::new(KEPT_MAX)),
            payers: Mutex::new(Recent::new(KEPT_MAX)),
            loading: Mutex::default(),
            loads: Semaphore::new(LOADS_MAX),
            fallbacks: Semaphore::new(FALLBACKS_MAX),
            work: Mutex::new(Some(work)),
            store,
            clock,
            settings,
        })))
    }

    /// Redis, as this process reaches it.
    pub fn redis(&self) -> &Redis {
        &self.0.redis
    }

    /// The handle by which the meter hands over committed batches.
    pub fn projector(&self) -> &Projector {
        &self.0.projector
    }

    /// The money of holds that this process journaled too late for the load after a loss. At most
    /// this much was granted beyond the pools meanwhile.
    pub fn restored_late(&self) -> Money {
        Money::from_micros(self.0.restored_late.load(Ordering::Relaxed))
    }

    pub(crate) fn document(&self, account: &AccountId) -> Option<Arc<Document>> {
        lock(&self.0.documents).get(account).cloned()
    }

    pub(crate) fn keep_document(&self, account: &AccountId, document: Document) -> Arc<Document> {
        let document = Arc::new(document);
        lock(&self.0.documents).insert(account.clone(), Arc::clone(&document));
        document
    }
}

/// Nothing panics while one of these is held, so the value behind a poisoned lock is whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
