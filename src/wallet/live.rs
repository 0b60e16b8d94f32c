//! Wallets as they change, for those who watch them.
//!
//! One look at all watched wallets, a few times a second and however many watch: the ledger's version
//! of each from Postgres, what is held from Redis. So a change is seen whoever made it, in any process,
//! and a wallet that is charged a thousand times a second is told a few times. Nothing is pushed, so
//! nothing can be missed; while Redis is away, holds are told less promptly.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use callmeter_core::domain::AccountId;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::balance::Balance;
use crate::ledger::overview;
use crate::ledger::store::{Store, StoreError};

/// Time between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Most that watch in one process, and of one account.
const WATCHERS_MAX: usize = 1_000;
const ACCOUNT_WATCHERS_MAX: usize = 20;

/// What tells one state of a wallet from another: version, holds, money held.
type Mark = (Option<i64>, Option<(i64, i64)>);

/// The watched wallets of this process; cheap to clone.
#[derive(Clone, Debug)]
pub struct Live(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    balance: Balance,
    shutdown: CancellationToken,
    watched: Mutex<HashMap<AccountId, Watched>>,
    wake: Notify,
}

#[derive(Debug)]
struct Watched {
    changes: watch::Sender<Mark>,
    watchers: usize,
}

/// Somebody who watches a wallet, until this is dropped.
#[derive(Debug)]
pub struct Watcher {
    live: Live,
    account: AccountId,
    changes: watch::Receiver<Mark>,
}

impl Live {
    /// Watches by these; watching ends with `shutdown`.
    pub fn new(store: Store, balance: Balance, shutdown: CancellationToken) -> Self {
        let (watched, wake) = (Mutex::default(), Notify::new());
        Self(Arc::new(Inner { store, balance, shutdown, watched, wake }))
    }

    /// Watches a wallet; `None`: too many watch.
    pub fn watch(&self, account: &AccountId) -> Option<Watcher> {
        let mut watched = self.lock();
        let all: usize = watched.values().map(|one| one.watchers).sum();
        if all >= WATCHERS_MAX {
            return None;
        }
        let one = watched
            .entry(account.clone())
            .or_insert_with(|| Watched { changes: watch::Sender::new((None, None)), watchers: 0 });
        if one.watchers >= ACCOUNT_WATCHERS_MAX {
            return None;
        }
        one.watchers += 1;
        let changes = one.changes.subscribe();
        drop(watched);
        self.0.wake.notify_one();
        Some(Watcher { live: self.clone(), account: account.clone(), changes })
    }

    /// Looks at what is watched until `shutdown`; rests while nothing is.
    pub async fn run(&self) {
        let looks = async {
            loop {
                let accounts: Vec<AccountId> = self.lock().keys().cloned().collect();
                if accounts.is_empty() {
                    self.0.wake.notified().await;
                    continue;
                }
                match self.look(&accounts).await {
                    Ok(marks) => self.tell(&accounts, &marks),
                    Err(error) => tracing::debug!(%error, "wallets cannot be watched"),
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        let _: Option<()> = self.0.shutdown.run_until_cancelled(looks).await;
    }

    async fn look(&self, accounts: &[AccountId]) -> Result<Vec<Mark>, StoreError> {
        let versions = overview::versions(&mut *self.0.store.read().await?, accounts).await?;
        // Redis may be away: what is held is then told with the next change of the ledger.
        let held = self.0.balance.held_sums(accounts).await.unwrap_or_default();
        let marks = accounts.iter().enumerate().map(|(place, account)| {
            (versions.get(account).copied(), held.get(place).copied().flatten())
        });
        Ok(marks.collect())
    }

    fn tell(&self, accounts: &[AccountId], marks: &[Mark]) {
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

impl Watcher {
    /// Waits until the wallet may have changed, for at most `longest`; false: the process ends.
    pub async fn changed(&mut self, longest: Duration) -> bool {
        let shutdown = self.live.0.shutdown.clone();
        let changed = tokio::time::timeout(longest, self.changes.changed());
        shutdown.run_until_cancelled(changed).await.is_some()
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let mut watched = self.live.lock();
        if let Some(one) = watched.get_mut(&self.account) {
            one.watchers -= 1;
            if one.watchers == 0 {
                watched.remove(&self.account);
            }
        }
    }
}
