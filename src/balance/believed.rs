//! What a process believes of the ledger between two looks at it: which catalog is in force, and that
//! Redis was told of every change.
//!
//! An authorization asks Redis alone. A change that reached Redis is seen by the next script; one that
//! could not be told to Redis, which was silent or away, is noted in Postgres, and answered one
//! [`LEASE`] later (decision 0041). Each process looks for such notes several times in a lease, and
//! authorizes nothing on a look that is older: first it looks again, and an account that is noted is
//! projected before it is asked about.
//!
//! While Postgres does not answer, nothing can be changed through this process, and warm accounts go
//! on. It must never take a silent Redis for one that knows.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use callmeter_core::domain::AccountId;
use redis::{ErrorKind, RedisError};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::error::BalanceError;
use super::scripts::Request;
use super::stage::Balance;
use crate::ledger::LedgerError;
use crate::ledger::store::{Store, StoreError};
use crate::ledger::unprojected::{self, LEASE};

/// Time between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(300);
/// Longest wait for the answer to a look.
const ANSWER_MAX: Duration = Duration::from_millis(500);
/// Longest time that an authorization waits for its account to be projected.
const CATCH_UP_MAX: Duration = Duration::from_secs(1);
/// Noted wallets that a process knows at once; where there are more, every account is projected anew.
const NOTED_MAX: usize = 10_000;

/// What was seen at the last look.
#[derive(Debug)]
pub(super) struct Believed {
    /// For looks alone: they must not wait behind what is loaded.
    store: Store,
    seen: Mutex<Seen>,
    /// Held while somebody looks because the lease ran out.
    turn: tokio::sync::Mutex<()>,
    /// The last look was not answered.
    is_unanswered: AtomicBool,
    /// A look found something that is noted.
    found: Notify,
}

#[derive(Debug, Default)]
struct Seen {
    /// When the look began.
    asked_at: Option<Instant>,
    /// Accounts that Redis may have as they were, with the version that it lacks.
    noted: HashMap<AccountId, i64>,
    /// There are more than those.
    has_more: bool,
}

impl Believed {
    pub(super) fn new(store: &Store) -> Self {
        Self {
            store: store.apart(),
            seen: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
            is_unanswered: AtomicBool::new(false),
            found: Notify::new(),
        }
    }

    /// The last look is too old, and another may be answered.
    fn is_due(&self) -> bool {
        let is_old = self.lock().asked_at.is_none_or(|at| at.elapsed() > LEASE);
        is_old && !self.is_unanswered.load(Ordering::Acquire)
    }

    fn is_noted(&self, account: &AccountId) -> bool {
        let seen = self.lock();
        seen.has_more || seen.noted.contains_key(account)
    }

    fn noted(&self) -> Vec<AccountId> {
        self.lock().noted.keys().cloned().collect()
    }

    fn saw(&self, asked_at: Instant, mut wallets: Vec<(AccountId, i64)>) {
        let mut seen = self.lock();
        if seen.asked_at.is_some_and(|at| at > asked_at) {
            return;
        }
        if !wallets.is_empty() {
            self.found.notify_one();
        }
        let has_more = wallets.len() > NOTED_MAX;
        wallets.truncate(NOTED_MAX);
        *seen = Seen { asked_at: Some(asked_at), noted: wallets.into_iter().collect(), has_more };
    }

    /// Redis has the account at this version: what was noted up to it is done.
    fn caught_up(&self, account: &AccountId, version: i64) {
        let noted = &mut self.lock().noted;
        if noted.get(account).is_some_and(|lacking| *lacking <= version) {
            noted.remove(account);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Balance {
    /// Makes a change of the account in the ledger visible to every authorization that is asked for
    /// after this returns. Call it after the change is committed and before it is answered.
    ///
    /// # Errors
    /// Where neither Redis nor Postgres can be told: it will be seen later, and must not be answered
    /// as done.
    pub async fn show(&self, account: &AccountId) -> Result<(), BalanceError> {
        let Err(error) = self.refresh(account).await else { return Ok(()) };
        tracing::warn!(%account, %error, "redis could not be told of a change; postgres notes it");
        let now = self.0.clock.now();
        unprojected::note(&mut *self.0.store.read().await?, account, now).await?;
        tokio::time::sleep(LEASE).await;
        Ok(())
    }

    /// Runs a script that authorizes, once what this process believes is fresh.
    pub(super) async fn ask_believing<R: Request>(
        &self,
        request: &R,
    ) -> Result<R::Reply, BalanceError> {
        self.renew().await?;
        let account = request.account();
        if self.0.believed.is_noted(account) {
            let caught_up = tokio::time::timeout(CATCH_UP_MAX, self.catch_up(account)).await;
            caught_up.unwrap_or_else(|_| Err(too_late()))?;
        }
        self.ask(request).await
    }

    /// Looks again where the last look is too old.
    async fn renew(&self) -> Result<(), BalanceError> {
        let believed = &self.0.believed;
        if believed.is_due() {
            let _turn = believed.turn.lock().await;
            if believed.is_due() {
                let looked = self.look_at_ledger().await;
                let was_ever = believed.lock().asked_at.is_some();
                return looked.or_else(|error| if was_ever { Ok(()) } else { Err(error) });
            }
        }
        Ok(())
    }

    /// Looks for a newer catalog, and for wallets that Redis may have as they were.
    async fn look_at_ledger(&self) -> Result<(), BalanceError> {
        let asked_at = Instant::now();
        let asking = async {
            let mut connection = self.0.believed.store.read().await?;
            let most = i64::try_from(NOTED_MAX).unwrap_or(i64::MAX).saturating_add(1);
            unprojected::look(&mut connection, most).await
        };
        let answered = tokio::time::timeout(ANSWER_MAX, asking).await;
        let answered: Result<_, LedgerError> = answered
            .unwrap_or_else(|_| Err(StoreError::Unavailable(sqlx::Error::PoolTimedOut).into()));
        self.0.believed.is_unanswered.store(answered.is_err(), Ordering::Release);
        let (stamp, wallets) = answered?;
        self.0.catalogs.keep_up(stamp).await?;
        self.0.believed.saw(asked_at, wallets);
        Ok(())
    }

    /// Projects an account that is noted, and strikes it out.
    async fn catch_up(&self, account: &AccountId) -> Result<(), BalanceError> {
        let Some(version) = self.refresh_to(account).await? else { return Ok(()) };
        self.0.believed.caught_up(account, version);
        unprojected::projected(&mut *self.0.store.read().await?, account, version).await?;
        Ok(())
    }
}

/// Looks at the ledger, and projects what is noted there, until `shutdown`.
pub(super) async fn run(balance: Balance, shutdown: CancellationToken) {
    let looks = async {
        loop {
            if let Err(error) = balance.look_at_ledger().await {
                tracing::debug!(%error, "what is believed of the ledger stays");
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    let catching_up = async {
        loop {
            // A look finds again what still waits.
            balance.0.believed.found.notified().await;
            for account in balance.0.believed.noted() {
                if let Err(error) = balance.catch_up(&account).await {
                    tracing::debug!(%account, %error, "a change still waits to be projected");
                    break;
                }
            }
        }
    };
    let endless = async { tokio::join!(looks, catching_up) };
    let _: Option<((), ())> = shutdown.run_until_cancelled(Box::pin(endless)).await;
}

fn too_late() -> BalanceError {
    BalanceError::Lost(RedisError::from((ErrorKind::Io, "a change could not be projected in time")))
}
