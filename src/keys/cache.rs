//! The keys that a process has confirmed, and how long it accepts them.
//!
//! A key found in the ledger is accepted for [`LEASE`], counted from before the query was sent. A
//! revocation commits, then answers one lease later or more: by then no process accepts the key,
//! even if messages between processes were lost. So a process queries the ledger for a key once a
//! second, not once a call.
//!
//! While the ledger does not answer, this process cannot revoke a key, but another may. A confirmed
//! key stays accepted while Redis, which notes revocations too, does not list it as revoked. So
//! authorizations continue during an outage of Postgres; they need Redis anyway.
//!
//! It must never accept a key that the ledger did not confirm within a day.

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

/// How long a key is accepted without another query.
pub const LEASE: Duration = Duration::from_secs(1);
/// At this age a query in the background confirms the key again.
const RENEWED_AFTER: Duration = Duration::from_millis(400);
/// Longest wait for the ledger's answer.
const ANSWER_MAX: Duration = Duration::from_millis(500);
/// How long a key is accepted while the ledger does not answer. Redis keeps revocations longer.
const UNCONFIRMED_MAX: Duration = Duration::from_hours(24);
/// Time between two updates of when a key was last used.
const USE_NOTED_EVERY: TimeDelta = TimeDelta::minutes(1);
/// Most keys in the cache.
const KNOWN_MAX: usize = 10_000;

/// The keys that this process has confirmed; cheap to clone.
#[derive(Clone, Debug)]
pub struct KeyCache(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    balance: Balance,
    clock: Clock,
    known: Mutex<HashMap<[u8; 32], Arc<Known>>>,
}

/// A key that this process has confirmed before.
#[derive(Debug)]
pub struct Known {
    key: Arc<Key>,
    /// When the last query that confirmed it was sent.
    confirmed_at: Mutex<Instant>,
    /// The last query got no answer.
    is_unanswered: AtomicBool,
    /// A query is in progress.
    is_asked: AtomicBool,
}

impl Known {
    fn age(&self) -> Duration {
        lock(&self.confirmed_at).elapsed()
    }
}

impl KeyCache {
    /// An empty cache.
    pub fn new(store: Store, balance: Balance, clock: Clock) -> Self {
        Self(Arc::new(Inner { store, balance, clock, known: Mutex::default() }))
    }

    /// A key in the cache, if it is there; sends no query.
    pub fn known(&self, digest: KeyDigest) -> Option<Arc<Known>> {
        lock(&self.0.known).get(digest.bytes()).cloned()
    }

    /// Returns a cached key if it is still valid, otherwise `None`.
    ///
    /// # Errors
    /// `Unavailable` if neither the ledger nor Redis answers.
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
                return Box::pin(self.after_asking(digest, known)).await;
            }
        }
        if age <= LEASE {
            return Ok(Some(Arc::clone(&known.key)));
        }
        if known.is_unanswered.load(Ordering::Acquire) {
            return Box::pin(self.without_the_ledger(&known)).await;
        }
        // Another request has sent the query; at most all requests in progress wait here.
        Box::pin(self.ask_or_trust(digest, &known)).await
    }

    /// The result after the query.
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

    /// Queries the ledger for a key and caches it; `None`: it is unknown or revoked. Each call
    /// sends a query: limit the callers whose key is not [`Self::known`].
    ///
    /// # Errors
    /// `Unavailable` if the ledger does not answer.
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

    /// Whether a confirmed key is still accepted while the ledger does not answer.
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

    /// Call it after the revocation of a key was committed: returns when no process accepts the
    /// key.
    pub async fn until_refused(&self, id: KeyId) {
        let committed_at = Instant::now();
        lock(&self.0.known).retain(|_, known| known.key.id != id);
        if let Err(error) = self.0.balance.redis().note_key_revoked(id).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(%id, error, "a revocation is in the ledger, but not in redis");
        }
        tokio::time::sleep_until(committed_at + LEASE).await;
    }
}

/// Nothing panics while a lock is held, so the data behind a poisoned lock is consistent.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
