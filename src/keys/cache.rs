//! What a process knows of keys, and for how long it may believe it.
//!
//! A key that was found in the ledger is believed for [`LEASE`], counted from before the question
//! was sent. Whoever revokes a key commits, and answers no sooner than one lease later: by then no
//! process believes it any more, whatever became of messages between them. So authorizations ask the
//! ledger once a second for a key, and not once a call.
//!
//! While the ledger cannot be asked, nothing can be revoked through this process, but perhaps through
//! another. So a key that was believed goes on to be, as long as Redis, where revocations are noted
//! too, says nothing else: authorizations outlast an outage of Postgres, and need Redis anyway.
//!
//! It must never believe a key that the ledger did not confirm within a day.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::TimeDelta;
use tokio::time::Instant;

use super::text::KeyDigest;
use crate::balance::Balance;
use crate::clock::Clock;
use crate::ledger::LedgerError;
use crate::ledger::keys::{self, Key, KeyId};
use crate::ledger::store::{Store, StoreError};

/// How long a key is believed without asking again.
pub const LEASE: Duration = Duration::from_secs(1);
/// From this age on it is asked for again, beside the requests that use it.
const RENEWED_AFTER: Duration = Duration::from_millis(400);
/// Longest wait for the ledger's answer.
const ANSWER_MAX: Duration = Duration::from_millis(500);
/// How long a key is believed while the ledger cannot be asked. Redis remembers revocations longer.
const UNCONFIRMED_MAX: Duration = Duration::from_hours(24);
/// Time between two notes that a key was used.
const USE_NOTED_EVERY: TimeDelta = TimeDelta::minutes(1);
/// Keys that a process knows at once.
const KNOWN_MAX: usize = 10_000;

/// The keys that this process knows; cheap to clone.
#[derive(Clone, Debug)]
pub struct KeyCache(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    balance: Balance,
    clock: Clock,
    known: Mutex<HashMap<[u8; 32], Arc<Known>>>,
}

/// A key that this process has let in before.
#[derive(Debug)]
pub struct Known {
    key: Arc<Key>,
    /// When the ledger was asked that confirmed it last.
    confirmed_at: Mutex<Instant>,
    /// The last question was not answered.
    is_unanswered: AtomicBool,
    /// Somebody asks.
    is_asked: AtomicBool,
}

impl Known {
    fn age(&self) -> Duration {
        lock(&self.confirmed_at).elapsed()
    }
}

impl KeyCache {
    /// Knows nothing yet.
    pub fn new(store: Store, balance: Balance, clock: Clock) -> Self {
        Self(Arc::new(Inner { store, balance, clock, known: Mutex::default() }))
    }

    /// What this process knows of a key, if anything; nobody is asked.
    pub fn known(&self, digest: KeyDigest) -> Option<Arc<Known>> {
        lock(&self.0.known).get(digest.bytes()).cloned()
    }

    /// Says whether a key that is known is still good; `None`: it is not.
    ///
    /// # Errors
    /// `Unavailable` where neither the ledger nor Redis can tell.
    pub async fn confirm(
        &self,
        digest: KeyDigest,
        known: Arc<Known>,
    ) -> Result<Option<Arc<Key>>, LedgerError> {
        let age = known.age();
        if age > RENEWED_AFTER && !known.is_asked.swap(true, Ordering::AcqRel) {
            let (this, asked) = (self.clone(), Arc::clone(&known));
            let renewing = tokio::spawn(async move {
                let renewed = this.ask(digest).await;
                asked.is_unanswered.store(renewed.is_err(), Ordering::Release);
                asked.is_asked.store(false, Ordering::Release);
            });
            if age > LEASE && !known.is_unanswered.load(Ordering::Acquire) {
                drop(renewing.await);
                return self.after_asking(digest, known).await;
            }
        }
        if age <= LEASE {
            return Ok(Some(Arc::clone(&known.key)));
        }
        if known.is_unanswered.load(Ordering::Acquire) {
            return self.without_the_ledger(&known).await;
        }
        // Somebody else asks; those who wait here are as many as requests may be in progress.
        self.ask_or_trust(digest, &known).await
    }

    /// What is believed now that the ledger was asked.
    async fn after_asking(
        &self,
        digest: KeyDigest,
        asked: Arc<Known>,
    ) -> Result<Option<Arc<Key>>, LedgerError> {
        if asked.is_unanswered.load(Ordering::Acquire) {
            return self.without_the_ledger(&asked).await;
        }
        let known = lock(&self.0.known).get(digest.bytes()).cloned();
        match known {
            Some(known) if known.age() <= LEASE => Ok(Some(Arc::clone(&known.key))),
            Some(known) => self.ask_or_trust(digest, &known).await,
            None => Ok(None),
        }
    }

    async fn ask_or_trust(
        &self,
        digest: KeyDigest,
        known: &Known,
    ) -> Result<Option<Arc<Key>>, LedgerError> {
        match self.ask(digest).await {
            Err(error) if error.is_transient() => self.without_the_ledger(known).await,
            answered => answered,
        }
    }

    /// Asks the ledger for a key, and remembers it; `None`: it is unknown or revoked. For a key that
    /// is not [`Self::known`] each call is a question: limit who may ask.
    ///
    /// # Errors
    /// `Unavailable` where the ledger cannot be asked.
    pub async fn ask(&self, digest: KeyDigest) -> Result<Option<Arc<Key>>, LedgerError> {
        let asked_at = Instant::now();
        let asking = async {
            let mut connection = self.0.store.read().await?;
            let found = keys::find(&mut connection, digest.bytes()).await?;
            drop(connection);
            if let Some(key) = &found {
                let now = self.0.clock.now();
                if key.last_used_at.is_none_or(|at| now - at > USE_NOTED_EVERY) {
                    keys::note_use(&self.0.store, key.id, now).await?;
                }
            }
            Ok::<_, LedgerError>(found)
        };
        let answered = tokio::time::timeout(ANSWER_MAX, asking).await;
        let found = answered
            .unwrap_or_else(|_| Err(StoreError::Unavailable(sqlx::Error::PoolTimedOut).into()))?;
        let mut known = lock(&self.0.known);
        let Some(key) = found.map(Arc::new) else {
            known.remove(digest.bytes());
            return Ok(None);
        };
        if let Some(known) = known.get(digest.bytes()) {
            let mut confirmed_at = lock(&known.confirmed_at);
            *confirmed_at = asked_at.max(*confirmed_at);
            return Ok(Some(key));
        }
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        let entry = Known {
            key: Arc::clone(&key),
            confirmed_at: Mutex::new(asked_at),
            is_unanswered: AtomicBool::new(false),
            is_asked: AtomicBool::new(false),
        };
        known.insert(*digest.bytes(), Arc::new(entry));
        Ok(Some(key))
    }

    /// Whether a key that was believed still is, while the ledger cannot be asked.
    async fn without_the_ledger(&self, known: &Known) -> Result<Option<Arc<Key>>, LedgerError> {
        let unavailable = || StoreError::Unavailable(sqlx::Error::PoolTimedOut).into();
        if known.age() > UNCONFIRMED_MAX {
            return Err(unavailable());
        }
        match self.0.balance.redis().is_key_revoked(known.key.id).await {
            Ok(true) => Ok(None),
            Ok(false) => Ok(Some(Arc::clone(&known.key))),
            Err(_) => Err(unavailable()),
        }
    }

    /// Returns when no process believes a key any more whose revocation was committed before.
    pub async fn until_refused(&self, id: KeyId) {
        let committed_at = Instant::now();
        lock(&self.0.known).retain(|_, known| known.key.id != id);
        if let Err(error) = self.0.balance.redis().note_key_revoked(id).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(%id, error, "redis did not hear of a revocation; the ledger did");
        }
        tokio::time::sleep_until(committed_at + LEASE).await;
    }
}

/// Nothing panics while one of these is held, so what a poisoned lock guards is whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
