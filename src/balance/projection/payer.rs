//! Which accounts exist, and which one pays for a Twilio account.
//!
//! The ledger decides. The process remembers its answers, and so does Redis for every loaded
//! account, so that every process finds warm accounts while Postgres is away. Another process may
//! move a Twilio account to another account, so a remembered payer must never be used unchecked:
//! the script that uses it compares it with the wallet.

use std::collections::{HashMap, HashSet};

use callmeter_core::domain::{AccountId, TwilioAccountSid};
use redis::Value;

use super::snapshot::Snapshot;
use crate::balance::model::BalanceError;
use crate::balance::scripts::inspect;
use crate::balance::state::{Balance, lock};
use crate::ledger::{LedgerError, accounts, links};

impl Balance {
    /// The account that pays for a Twilio account: as remembered, else from the ledger, and while
    /// that does not answer, from Redis.
    pub(crate) async fn payer_of(
        &self,
        sid: &TwilioAccountSid,
    ) -> Result<Option<AccountId>, BalanceError> {
        if let Some(account) = self.payer_kept(sid) {
            return Ok(Some(account));
        }
        match Box::pin(self.payer_in_ledger(sid)).await {
            Err(error) if error.is_of_the_ledger() => {
                let account = Box::pin(self.payer_in_redis(sid)).await.ok_or(error)?;
                self.keep_payer(sid, &account);
                Ok(Some(account))
            }
            found => found,
        }
    }

    /// The account that pays for a Twilio account, as remembered.
    pub(crate) fn payer_kept(&self, sid: &TwilioAccountSid) -> Option<AccountId> {
        lock(&self.0.payers).get(sid).cloned()
    }

    fn keep_payer(&self, sid: &TwilioAccountSid, payer: &AccountId) {
        lock(&self.0.payers).insert(sid.clone(), payer.clone());
    }

    /// The account that pays for a Twilio account, from the ledger.
    pub(crate) async fn payer_in_ledger(
        &self,
        sid: &TwilioAccountSid,
    ) -> Result<Option<AccountId>, BalanceError> {
        Ok(self.learn(&[sid]).await?.remove(sid))
    }

    /// Reads unknown payers, all in one query; returns the Twilio accounts that nobody pays for.
    /// Those are not remembered, so a new link is seen at the next look.
    pub(crate) async fn learn_payers<'a>(
        &self,
        sids: HashSet<&'a TwilioAccountSid>,
    ) -> Result<HashSet<&'a TwilioAccountSid>, BalanceError> {
        let unknown = sids.into_iter().filter(|sid| self.payer_kept(sid).is_none());
        let unknown: Vec<_> = unknown.collect();
        if unknown.is_empty() {
            return Ok(HashSet::new());
        }
        let known = self.learn(&unknown).await?;
        Ok(unknown.into_iter().filter(|sid| !known.contains_key(*sid)).collect())
    }

    /// Reads payers from the ledger and remembers them; forgets those that it does not have.
    async fn learn(
        &self,
        sids: &[&TwilioAccountSid],
    ) -> Result<HashMap<TwilioAccountSid, AccountId>, BalanceError> {
        let known = links::payers(&mut *self.0.store.read().await?, sids).await?;
        for sid in sids {
            match known.get(*sid) {
                Some(account) => self.keep_payer(sid, account),
                None => lock(&self.0.payers).remove(*sid),
            }
        }
        Ok(known)
    }

    /// Whether the account exists. Accounts are never deleted, so a known one stays known.
    ///
    /// # Errors
    /// If the ledger fails and Redis does not have the account.
    pub async fn knows(&self, account: &AccountId) -> Result<bool, BalanceError> {
        if self.document(account).is_some() {
            return Ok(true);
        }
        let asked = async {
            let mut connection = self.0.store.read().await?;
            Ok::<_, LedgerError>(accounts::key_of(&mut connection, account).await?.is_some())
        };
        match asked.await {
            Err(error) if error.is_transient() => {
                let standing = self.0.redis.ask(&inspect(account)).await;
                if matches!(standing, Ok(Some(_))) { Ok(true) } else { Err(error.into()) }
            }
            known => Ok(known?),
        }
    }

    /// Notes in Redis for which Twilio accounts an account pays.
    pub(crate) async fn tell_payers(&self, snapshot: &Snapshot) {
        if snapshot.twilio_account_sids.is_empty() {
            return;
        }
        let mut command = redis::cmd("MSET");
        for sid in &snapshot.twilio_account_sids {
            command.arg(key_of(sid)).arg(snapshot.account.as_str());
        }
        if let Err(error) = self.0.redis.command(&command).await {
            tracing::debug!(account = %snapshot.account, %error, "payers could not be noted in redis");
        }
    }

    async fn payer_in_redis(&self, sid: &TwilioAccountSid) -> Option<AccountId> {
        match self.0.redis.command(redis::cmd("GET").arg(key_of(sid))).await {
            Ok(Value::BulkString(id)) => AccountId::parse(std::str::from_utf8(&id).ok()?).ok(),
            _ => None,
        }
    }
}

/// No wallet's key begins like this.
fn key_of(sid: &TwilioAccountSid) -> String {
    format!("cm:account_of:{sid}")
}
