//! Renews the lease: a process's knowledge of the catalog in force, and of changes that Redis
//! lacks.
//!
//! An authorization asks Redis alone. The next script sees a change that reached Redis. If Redis
//! was silent or away, Postgres notes the change, and it is answered one [`LEASE`] later (decision
//! 0041). Each process looks for such notes several times in a lease. If its last look is older, it
//! looks again before it authorizes, and it projects a noted account before it runs a script on it.
//!
//! While Postgres does not answer, nothing can be changed through this process, and warm accounts
//! go on. A silent Redis must never count as one that has a change.

use std::time::Duration;

use callmeter_core::domain::AccountId;
use redis::{ErrorKind, RedisError};
use tokio::time::Instant;

use crate::balance::lease::NOTED_MAX;
use crate::balance::model::BalanceError;
use crate::balance::scripts::Request;
use crate::balance::state::Balance;
use crate::ledger::LedgerError;
use crate::ledger::store::StoreError;
use crate::ledger::unprojected::{self, LEASE};

/// Longest wait for the answer to a look.
const ANSWER_MAX: Duration = Duration::from_millis(500);
/// Longest time that an authorization waits for its account to be projected.
const CATCH_UP_MAX: Duration = Duration::from_secs(1);

impl Balance {
    /// Shows a change of the account to every authorization requested after this returns. Call it
    /// after the change is committed and before it is answered.
    ///
    /// # Errors
    /// If neither Redis nor Postgres can be told: the change is seen later, and must not be
    /// answered as done.
    pub async fn make_visible(&self, account: &AccountId) -> Result<(), BalanceError> {
        let Err(error) = self.refresh(account).await else { return Ok(()) };
        tracing::warn!(%account, %error, "redis could not be told of a change; postgres notes it");
        let now = self.0.clock.now();
        unprojected::note(&self.0.store, account, now).await?;
        tokio::time::sleep(LEASE).await;
        Ok(())
    }

    /// Runs a script that authorizes, after renewing the lease if it has run out.
    pub(crate) async fn ask_leased<R: Request>(
        &self,
        request: &R,
    ) -> Result<R::Reply, BalanceError> {
        if self.0.lease.is_due() {
            Box::pin(self.renew()).await?;
        }
        let account = request.account();
        if self.0.lease.is_noted(account) {
            let catching_up = Box::pin(self.catch_up(account));
            let caught_up = tokio::time::timeout(CATCH_UP_MAX, catching_up).await;
            caught_up.unwrap_or_else(|_| Err(too_late()))?;
        }
        self.0.redis.ask(request).await
    }

    /// Looks again, unless another caller just did.
    async fn renew(&self) -> Result<(), BalanceError> {
        let lease = &self.0.lease;
        let _turn = lease.turn.lock().await;
        if lease.is_due() {
            let looked = self.look_at_ledger().await;
            let was_ever = lease.was_ever_seen();
            return looked.or_else(|error| if was_ever { Ok(()) } else { Err(error) });
        }
        Ok(())
    }

    /// Looks for a newer catalog, and for wallets whose state in Redis may be old.
    pub(crate) async fn look_at_ledger(&self) -> Result<(), BalanceError> {
        let asked_at = Instant::now();
        let asking = async {
            let ledger = self.0.store.regular();
            let mut connection = ledger.take().await?;
            let most = i64::try_from(NOTED_MAX).unwrap_or(i64::MAX).saturating_add(1);
            let looked = unprojected::look(&mut connection, most).await?;
            ledger.put_back(connection);
            Ok(looked)
        };
        let answered = tokio::time::timeout(ANSWER_MAX, asking).await;
        let answered: Result<_, LedgerError> = answered
            .unwrap_or_else(|_| Err(StoreError::Unavailable(sqlx::Error::PoolTimedOut).into()));
        self.0.lease.answered(answered.is_ok());
        let (stamp, wallets) = answered?;
        if let Some(stamp) = stamp
            && self.0.catalogs.get(stamp).is_none()
        {
            self.0.catalogs.at(&mut *self.0.store.read().await?, stamp).await?;
        }
        self.0.lease.saw(asked_at, wallets);
        Ok(())
    }

    /// Projects a noted account, and deletes the note.
    pub(crate) async fn catch_up(&self, account: &AccountId) -> Result<(), BalanceError> {
        let Some(version) = self.refresh(account).await? else { return Ok(()) };
        self.0.lease.caught_up(account, version);
        unprojected::projected(&self.0.store, account, version).await?;
        Ok(())
    }
}

fn too_late() -> BalanceError {
    BalanceError::Lost(RedisError::from((ErrorKind::Io, "a change could not be projected in time")))
}
