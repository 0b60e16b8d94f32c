//! Loads an account into Redis with its holds, when a script does not know it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use callmeter_core::domain::AccountId;

use super::refresh::ATTEMPTS_MAX;
use super::snapshot::Purpose;
use crate::balance::model::BalanceError;
use crate::balance::scripts::{Announce, Loaded};
use crate::balance::state::{Balance, lock};

impl Balance {
    /// Loads an account into Redis with its holds; false: there is no such account.
    pub(crate) async fn load(&self, account: &AccountId) -> Result<bool, BalanceError> {
        let turn = Arc::clone(lock(&self.0.loading).entry(account.clone()).or_default());
        let seen = turn.loads.load(Ordering::Acquire);
        let guard = turn.alone.lock().await;
        if turn.loads.load(Ordering::Acquire) != seen {
            // Somebody loaded it while we waited for our turn.
            return Ok(true);
        }
        let loaded = {
            let _permit = self.0.loads.acquire().await;
            self.load_now(account).await
        };
        if let Ok(true) = loaded {
            turn.loads.fetch_add(1, Ordering::AcqRel);
        }
        drop(guard);
        // Two references are the map's and ours; each waiting caller has one more.
        lock(&self.0.loading).retain(|_, turn| Arc::strong_count(turn) > 2);
        loaded
    }

    async fn load_now(&self, account: &AccountId) -> Result<bool, BalanceError> {
        if !self.knows(account).await? {
            return Ok(false);
        }
        let mut ticket = self.announce(account).await?;
        for _ in 0..ATTEMPTS_MAX {
            let Some(snapshot) = self.read(account, Purpose::Load).await? else {
                return Ok(false);
            };
            let unsure = snapshot.unsure.as_ref().map(ToString::to_string);
            let load = snapshot.load(&ticket, unsure.as_deref());
            match self.0.redis.ask_at(&load, snapshot.incarnation).await? {
                Loaded::Loaded { holds } => {
                    tracing::debug!(%account, holds, version = snapshot.version, "loaded");
                    self.tell_payers(&snapshot).await;
                    self.keep_document(account, snapshot.document);
                    return Ok(true);
                }
                Loaded::Current => return Ok(true),
                Loaded::Gap { .. } => {
                    self.refresh(account).await?;
                    return Ok(true);
                }
                Loaded::Behind => {}
                Loaded::Forgotten => ticket = self.announce(account).await?,
                Loaded::Newer { incarnation } => self.0.redis.saw_incarnation(incarnation),
            }
        }
        Err(BalanceError::not_loaded(account, "others project it all the time"))
    }

    /// Announces the load to Redis, then waits until all earlier grants are journaled. Redis
    /// forgets the ticket with everything else, so a load is refused if Redis was emptied after its
    /// data were read.
    async fn announce(&self, account: &AccountId) -> Result<String, BalanceError> {
        let ticket = self.0.redis.ask(&Announce { account }).await?;
        if self.0.journal.catch_up().await {
            Ok(ticket)
        } else {
            let why = "what was granted before waits to be journaled";
            Err(BalanceError::not_loaded(account, why))
        }
    }
}
