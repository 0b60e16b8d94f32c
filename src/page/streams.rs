//! The open streams of this process, by session: each ends with its session, wherever that was
//! ended.
//!
//! A sign-out in this process ends a stream at once. Sessions that ended elsewhere or by their time
//! are found by one query a second for all streams together; without streams, nothing is asked. So the
//! fetches that a stream causes need no look of their own at the session.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::ledger::store::Store;
use crate::ledger::wallet_sessions::{self, Session};

/// Time between two looks at the sessions of all streams.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The open streams; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Streams(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    clock: Clock,
    open: Mutex<Table>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Table {
    /// By the session's key.
    open: HashMap<i64, Open>,
    /// The session's key, by the SHA-256 of its token.
    keys: HashMap<[u8; 32], i64>,
}

#[derive(Debug)]
struct Open {
    session: Session,
    token: [u8; 32],
    ended: CancellationToken,
    streams: usize,
}

/// One stream, until dropped.
#[derive(Debug)]
pub(super) struct Stream {
    streams: Streams,
    session_key: i64,
    /// Cancelled when the session has ended.
    pub(super) ended: CancellationToken,
}

impl Streams {
    pub(super) fn new(store: Store, clock: Clock) -> Self {
        Self(Arc::new(Inner { store, clock, open: Mutex::default(), wake: Notify::new() }))
    }

    /// Opens a stream of a session, which has a token of this SHA-256.
    pub(super) fn open(&self, session: &Session, token: [u8; 32]) -> Stream {
        let session_key = session.session_key;
        let mut table = self.lock();
        table.keys.insert(token, session_key);
        let ended = CancellationToken::new();
        let fresh = || Open { session: session.clone(), token, ended, streams: 0 };
        let one = table.open.entry(session_key).or_insert_with(fresh);
        one.streams += 1;
        let ended = one.ended.clone();
        drop(table);
        self.0.wake.notify_one();
        Stream { streams: self.clone(), session_key, ended }
    }

    /// The session of a token, if it has an open stream.
    pub(super) fn find(&self, token: &[u8; 32]) -> Option<Session> {
        let table = self.lock();
        let one = table.keys.get(token).and_then(|key| table.open.get(key))?;
        (one.session.expires_at > self.0.clock.now()).then(|| one.session.clone())
    }

    /// Ends the streams of a session.
    pub(super) fn end(&self, session_key: i64) {
        if let Some(one) = self.lock().remove(session_key) {
            one.ended.cancel();
        }
    }

    /// Ends the streams of sessions that have ended.
    pub(super) async fn run(&self) {
        loop {
            let session_keys: Vec<i64> = self.lock().open.keys().copied().collect();
            if session_keys.is_empty() {
                self.0.wake.notified().await;
                continue;
            }
            let now = self.0.clock.now();
            let in_force = async {
                wallet_sessions::in_force(&mut *self.0.store.read().await?, &session_keys, now)
                    .await
            };
            match in_force.await {
                Ok(in_force) => {
                    let ended = session_keys.iter().filter(|key| !in_force.contains(key));
                    ended.for_each(|key| self.end(*key));
                }
                Err(error) => tracing::debug!(%error, "sessions cannot be read"),
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn remove(&mut self, session_key: i64) -> Option<Open> {
        let one = self.open.remove(&session_key)?;
        self.keys.remove(&one.token);
        Some(one)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let mut table = self.streams.lock();
        if let Some(one) = table.open.get_mut(&self.session_key) {
            one.streams -= 1;
            if one.streams == 0 {
                table.remove(self.session_key);
            }
        }
    }
}
