//! Projects an account again after a change that no batch's projection carried: an administrator's
//! change, a gap, a process that died between commit and projection.

use callmeter_core::domain::AccountId;

use super::snapshot::{self, Purpose, Snapshot};
use crate::balance::model::BalanceError;
use crate::balance::scripts::{Settled, inspect};
use crate::balance::state::Balance;
use crate::ledger::incarnation;

/// Attempts of a load or a projection when other processes are faster.
pub(super) const ATTEMPTS_MAX: u32 = 30;

impl Balance {
    /// Projects the account's present state; returns the version that Redis then has, or `None` if
    /// there is no such account. An absent account stays absent; a running load that read the
    /// ledger before this then writes nothing.
    ///
    /// # Errors
    /// `Lost`: Redis may have the old wallet.
    pub(crate) async fn refresh(&self, account: &AccountId) -> Result<Option<i64>, BalanceError> {
        let redis = &self.0.redis;
        for _ in 0..ATTEMPTS_MAX {
            let standing = redis.bulk(&inspect(account)).await?;
            let purpose = match &standing {
                Some(standing) => Purpose::Project { charge_sequence: standing.charge_sequence },
                None => Purpose::Wallet,
            };
            let Some(snapshot) = self.read(account, purpose).await? else { return Ok(None) };
            let version = Some(snapshot.version);
            if let Some(standing) = &standing {
                if snapshot.incarnation == standing.incarnation
                    && snapshot.version < standing.version
                {
                    self.went_back(account, snapshot.incarnation).await?;
                    return Ok(version);
                }
                if snapshot.is_too_far {
                    // The next call loads the account; its holds are in the journal.
                    redis.forget(account).await?;
                    continue;
                }
            }
            let from = standing.as_ref().map_or(snapshot.version, |standing| standing.version);
            match redis.bulk(&snapshot.settle(from)).await? {
                Settled::Unknown | Settled::Stale => return Ok(version),
                Settled::Projected { .. } if standing.is_some() => {
                    self.tell_payers(&snapshot).await;
                    return Ok(version);
                }
                // It was loaded just now, or another process was faster.
                Settled::Projected { .. } | Settled::Gap { .. } => {}
                Settled::Newer { incarnation } => redis.saw_incarnation(incarnation),
            }
        }
        Err(BalanceError::not_loaded(account, "others project it all the time"))
    }

    /// Raises the incarnation: Redis has a later version than the ledger.
    async fn went_back(&self, account: &AccountId, seen: i64) -> Result<(), BalanceError> {
        let raised = incarnation::raise_from(&self.0.store, seen).await?;
        tracing::error!(%account, incarnation = raised, "postgres went back in time; redis follows");
        self.0.redis.saw_incarnation(raised);
        Ok(())
    }

    pub(crate) async fn read(
        &self,
        account: &AccountId,
        purpose: Purpose,
    ) -> Result<Option<Snapshot>, BalanceError> {
        let now = self.0.clock.now();
        let snapshot = snapshot::read(&self.0.store, account, purpose, now).await?;
        if let Some(snapshot) = &snapshot {
            self.0.redis.saw_incarnation(snapshot.incarnation);
        }
        Ok(snapshot)
    }
}
