//! Live updates of watched wallets.
//!
//! All watched wallets are read together, a few times a second, however many clients watch: the
//! version of each from Postgres, the held amounts from Redis. So a change by any process is seen,
//! and a wallet charged a thousand times a second is reported a few times. Nothing is pushed, so
//! nothing can be missed; while Redis is unavailable, changes of holds are reported later.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use callmeter_core::domain::AccountId;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::balance::Balance;
use crate::ledger::overview;
use crate::ledger::store::{Store, StoreError};

/// Time between two reads.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Most watchers in one process, and of one account.
const WATCHERS_MAX: usize = 1_000;
const ACCOUNT_WATCHERS_MAX: usize = 20;

/// Identifies a state of a wallet: version, holds, held money.
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

/// Watches a wallet until dropped.
#[derive(Debug)]
pub struct Watcher {
    live: Live,
    account: AccountId,
    changes: watch::Receiver<Mark>,
}

impl Live {
    /// Reads from `store` and `balance`; watching ends with `shutdown`.
    pub fn new(store: Store, balance: Balance, shutdown: CancellationToken) -> Self {
        let (watched, wake) = (Mutex::default(), Notify::new());
        Self(Arc::new(Inner { store, balance, shutdown, watched, wake }))
    }

    /// Watches a wallet; `None`: there are too many watchers.
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

    /// Reads the watched wallets until `shutdown`; waits while there are none.
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
                    Err(error) => tracing::debug!(%error, "watched wallets cannot be read"),
                }
                tokio::time::sleep(LOOK_EVERY).await;
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
    /// Waits until the wallet may have changed, at most `longest`; false: the process shuts down.
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
