//! Live updates of watched wallets.
//!
//! All watched wallets are read in a few parts, a few times a second, however many clients watch: the
//! version of each from Postgres, the held amounts from Redis. So a change by any process is seen,
//! and a wallet charged a thousand times a second is reported a few times. Nothing is pushed, so
//! nothing can be missed; while Redis is unavailable, changes of holds are reported later. Events
//! of the outbox (refills, transactions, alerts, budgets) are read in the same rounds.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use callmeter_core::domain::{AccountId, EventType};
use serde_json::Value;
use tokio::sync::{Notify, broadcast, watch};
use tokio_util::sync::CancellationToken;

use crate::balance::Balance;
use crate::json::event_data;
use crate::ledger::LedgerError;
use crate::ledger::outbox;
use crate::ledger::overview;
use crate::ledger::store::{Store, StoreError};
use crate::metrics::{LIVE_STREAMS, LIVE_STREAMS_REFUSED};

/// Time between two reads.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// A round is in so many parts, of at least so many wallets, spread over the time between two reads.
const PARTS: usize = 8;
const PART_MIN: usize = 16;
/// A look that is older says nothing about the figures now.
const FRESH: Duration = Duration::from_secs(2);
/// Events of one round, and those that a slow watcher may be behind.
const EVENTS_MAX: i64 = 500;
const EVENTS_KEPT: usize = 64;

/// Identifies a state of a wallet: version, holds, held money.
type Mark = (Option<i64>, Option<(i64, i64)>);

/// Before the first look.
const NEVER: Mark = (None, None);

/// The watched wallets of this process; cheap to clone.
#[derive(Clone, Debug)]
pub struct Live(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    balance: Balance,
    shutdown: CancellationToken,
    limits: WatchLimits,
    /// When all watched wallets were last read.
    looked_at: Mutex<Option<Instant>>,
    watched: Mutex<HashMap<AccountId, Watched>>,
    wake: Notify,
}

/// How many may watch wallets.
#[derive(Clone, Copy, Debug)]
pub struct WatchLimits {
    /// In this process.
    pub all: usize,
    /// One account.
    pub account: usize,
}

/// Identifies what watchers of a wallet were told so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    mark: Mark,
    events: u64,
}

impl Told {
    /// How many events: two with the same number differ by changes of the wallet alone.
    pub const fn events(self) -> u64 {
        self.events
    }
}

/// An event as watchers see it.
#[derive(Debug)]
pub struct LiveEvent {
    /// The id of the event.
    pub id: String,
    /// `refill`, `transaction`, `alert` or `budget`.
    pub name: &'static str,
    /// Its data.
    pub data: Value,
}

/// What a watcher hears.
#[derive(Debug)]
pub enum News {
    /// The wallet has changed.
    Wallet,
    /// Only what calls hold has changed.
    Holds,
    /// Nothing happened for long.
    Nothing,
    /// An event.
    Event(Arc<LiveEvent>),
}

#[derive(Debug)]
struct Watched {
    changes: watch::Sender<Mark>,
    events: broadcast::Sender<Arc<LiveEvent>>,
    /// Events that were told.
    told: u64,
    watchers: usize,
}

/// Watches a wallet until dropped.
#[derive(Debug)]
pub struct Watcher {
    live: Live,
    account: AccountId,
    changes: watch::Receiver<Mark>,
    /// The mark that was told last.
    last: Mark,
    events: broadcast::Receiver<Arc<LiveEvent>>,
}

impl Live {
    /// Reads from `store` and `balance`; watching ends with `shutdown`.
    pub fn new(
        store: Store,
        balance: Balance,
        limits: WatchLimits,
        shutdown: CancellationToken,
    ) -> Self {
        let (watched, looked_at, wake) = (Mutex::default(), Mutex::default(), Notify::new());
        Self(Arc::new(Inner { store, balance, shutdown, limits, looked_at, watched, wake }))
    }

    /// Watches a wallet, whose present state is told first; `None`: there are too many watchers.
    pub fn watch(&self, account: &AccountId) -> Option<Watcher> {
        let mut watched = self.lock();
        let all: usize = watched.values().map(|one| one.watchers).sum();
        let of_account = watched.get(account).map_or(0, |one| one.watchers);
        if all >= self.0.limits.all || of_account >= self.0.limits.account {
            metrics::counter!(LIVE_STREAMS_REFUSED).increment(1);
            return None;
        }
        metrics::gauge!(LIVE_STREAMS).increment(1);
        let one = watched.entry(account.clone()).or_insert_with(|| Watched {
            changes: watch::Sender::new(NEVER),
            events: broadcast::Sender::new(EVENTS_KEPT),
            told: 0,
            watchers: 0,
        });
        one.watchers += 1;
        let (mut changes, events) = (one.changes.subscribe(), one.events.subscribe());
        // What changed before is told at once, or by the first look.
        if *changes.borrow() != NEVER {
            changes.mark_changed();
        }
        drop(watched);
        self.0.wake.notify_one();
        let (live, account) = (self.clone(), account.clone());
        Some(Watcher { live, account, changes, last: NEVER, events })
    }

    /// What watchers of an account were told so far; `None`: nobody watches it.
    pub fn told(&self, account: &AccountId) -> Option<Told> {
        let watched = self.lock();
        let one = watched.get(account)?;
        Some(Told { mark: *one.changes.borrow(), events: one.told })
    }

    /// True if a change would have been seen by now.
    pub fn is_fresh(&self) -> bool {
        let looked_at = *self.0.looked_at.lock().unwrap_or_else(PoisonError::into_inner);
        looked_at.is_some_and(|at| at.elapsed() < FRESH)
    }

    /// Reads the watched wallets until `shutdown`; waits while there are none.
    pub async fn run(&self) {
        let looks = async {
            let mut position = None;
            loop {
                let accounts: Vec<AccountId> = self.lock().keys().cloned().collect();
                if accounts.is_empty() {
                    // What happens meanwhile, nobody watches.
                    position = None;
                    self.0.wake.notified().await;
                    continue;
                }
                if let Err(error) = self.tell_events(&mut position).await {
                    tracing::debug!(%error, "events cannot be read");
                }
                // Those who hear of a change fetch it: told all at once, they would all come at once.
                let parts = accounts.chunks(accounts.len().div_ceil(PARTS).max(PART_MIN));
                let pause = LOOK_EVERY / u32::try_from(parts.len()).unwrap_or(1);
                for part in parts {
                    match self.look(part).await {
                        Ok(marks) => self.tell(part, &marks),
                        Err(error) => tracing::debug!(%error, "watched wallets cannot be read"),
                    }
                    tokio::time::sleep(pause).await;
                }
            }
        };
        let _: Option<()> = self.0.shutdown.run_until_cancelled(looks).await;
    }

    async fn look(&self, accounts: &[AccountId]) -> Result<Vec<Mark>, StoreError> {
        let versions = overview::versions(&mut *self.0.store.read().await?, accounts).await?;
        // If Redis is unavailable, changes of holds are reported with the next change in the
        // ledger.
        let held = self.0.balance.held_sums(accounts).await.unwrap_or_default();
        let marks = accounts.iter().enumerate().map(|(place, account)| {
            (versions.get(account).copied(), held.get(place).copied().flatten())
        });
        Ok(marks.collect())
    }

    /// Tells the events behind a position; the first time, only finds the newest.
    async fn tell_events(&self, position: &mut Option<i64>) -> Result<(), LedgerError> {
        let mut connection = self.0.store.read().await?;
        let Some(last) = *position else {
            *position = Some(outbox::newest(&mut connection).await?);
            return Ok(());
        };
        for event in outbox::after(&mut connection, last, EVENTS_MAX).await? {
            *position = Some(event.position);
            let Some(name) = name_of(event.kind) else { continue };
            let (account, id) = (event.account.clone(), event.id.to_string());
            if let Some(one) = self.lock().get_mut(&account) {
                one.told += 1;
                let data = event_data(event)?;
                // Nobody listens any more: the watcher is about to go.
                drop(one.events.send(Arc::new(LiveEvent { id, name, data })));
            }
        }
        Ok(())
    }

    fn tell(&self, accounts: &[AccountId], marks: &[Mark]) {
        *self.0.looked_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        let watched = self.lock();
        for (account, mark) in accounts.iter().zip(marks) {
            let Some(one) = watched.get(account) else { continue };
            one.changes.send_if_modified(|last| std::mem::replace(last, *mark) != *mark);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<AccountId, Watched>> {
        self.0.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The name under which watchers see an event; `None`: they do not.
fn name_of(kind: EventType) -> Option<&'static str> {
    let (object, _) = kind.as_str().split_once('.')?;
    ["refill", "transaction", "alert", "budget"].into_iter().find(|name| *name == object)
}

impl Watcher {
    /// Waits for news, at most `longest`; `None`: the process shuts down. A watcher that is too slow
    /// misses events, which are in the lists of the API.
    pub async fn next(&mut self, longest: Duration) -> Option<News> {
        let shutdown = self.live.0.shutdown.clone();
        let (changes, events, last) = (&mut self.changes, &mut self.events, &mut self.last);
        let news = async {
            tokio::select! {
                event = events.recv() => event.map_or(News::Wallet, News::Event),
                _ = changes.changed() => {
                    let before = std::mem::replace(last, *changes.borrow_and_update());
                    if before != NEVER && before.0 == last.0 { News::Holds } else { News::Wallet }
                }
            }
        };
        let news = shutdown.run_until_cancelled(tokio::time::timeout(longest, news)).await;
        news.map(|news| news.unwrap_or(News::Nothing))
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        metrics::gauge!(LIVE_STREAMS).decrement(1);
        let mut watched = self.live.lock();
        if let Some(one) = watched.get_mut(&self.account) {
            one.watchers -= 1;
            if one.watchers == 0 {
                watched.remove(&self.account);
            }
        }
    }
}
