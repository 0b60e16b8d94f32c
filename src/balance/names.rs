//! Which accounts there are, and by which Twilio account each is found.
//!
//! The ledger says so. What it said is kept in the process, and by Redis for every account that is
//! there, so that warm accounts are found by every process while Postgres is away. Another process may
//! move a Twilio account to another account, so what is remembered is never believed by itself: the
//! script that uses it holds it against the wallet.

use std::collections::{HashMap, HashSet};

use callmeter_core::domain::{AccountId, TwilioAccountSid};
use redis::Value;
use sqlx::Row;

use super::error::BalanceError;
use super::scripts::Expire;
use super::snapshot::Snapshot;
use super::stage::Balance;
use crate::ledger::{LedgerError, accounts};

impl Balance {
    /// The account that pays for a Twilio account, as remembered or else as the ledger has it; while
    /// that does not answer, as Redis has it.
    pub(super) async fn account_of(
        &self,
        sid: &TwilioAccountSid,
    ) -> Result<Option<AccountId>, BalanceError> {
        if let Some(account) = self.account_named(sid) {
            return Ok(Some(account));
        }
        match self.account_in_ledger(sid).await {
            Err(error) if error.is_of_the_ledger() => {
                let account = self.name_in_redis(sid).await.ok_or(error)?;
                self.keep_name(sid, &account);
                Ok(Some(account))
            }
            found => found,
        }
    }

    /// The account that pays for a Twilio account, as the ledger has it.
    pub(super) async fn account_in_ledger(
        &self,
        sid: &TwilioAccountSid,
    ) -> Result<Option<AccountId>, BalanceError> {
        Ok(self.learn(&[sid]).await?.remove(sid))
    }

    /// Looks up anew who pays for a Twilio account, after the wallet of `asked` did not know it.
    pub(super) async fn account_after_move(
        &self,
        sid: &TwilioAccountSid,
        asked: &AccountId,
    ) -> Result<Option<AccountId>, BalanceError> {
        let payer = self.account_in_ledger(sid).await?;
        if payer.as_ref() == Some(asked) {
            // It was linked to the account that was asked: Redis has not heard of it yet.
            self.refresh(asked).await?;
        }
        Ok(payer)
    }

    /// Learns the names that are not remembered, all in one query; answers those that are nobody's. They
    /// are not remembered: whoever is linked is known to the next one who asks.
    pub(super) async fn learn_names<'a>(
        &self,
        sids: HashSet<&'a TwilioAccountSid>,
    ) -> Result<HashSet<&'a TwilioAccountSid>, BalanceError> {
        let unknown = sids.into_iter().filter(|sid| self.account_named(sid).is_none());
        let unknown: Vec<_> = unknown.collect();
        if unknown.is_empty() {
            return Ok(HashSet::new());
        }
        let known = self.learn(&unknown).await?;
        Ok(unknown.into_iter().filter(|sid| !known.contains_key(*sid)).collect())
    }

    /// Reads names from the ledger and remembers them; what it does not have is forgotten.
    async fn learn(
        &self,
        sids: &[&TwilioAccountSid],
    ) -> Result<HashMap<TwilioAccountSid, AccountId>, BalanceError> {
        let words: Vec<&str> = sids.iter().map(|sid| sid.as_str()).collect();
        let rows = sqlx::query(
            "-- balance::names
             SELECT t.twilio_account_sid, a.id
             FROM twilio_accounts AS t JOIN accounts AS a USING (account_key)
             WHERE t.twilio_account_sid = ANY($1)",
        )
        .bind(&words)
        .fetch_all(&mut *self.0.store.read().await?)
        .await?;
        let mut known = HashMap::with_capacity(rows.len());
        for row in rows {
            let sid: String = row.try_get("twilio_account_sid")?;
            let sid = TwilioAccountSid::parse(&sid)
                .map_err(|error| LedgerError::unreadable("an AccountSid", error))?;
            let id: String = row.try_get("id")?;
            let account = AccountId::parse(&id)
                .map_err(|error| LedgerError::unreadable("an account's id", error))?;
            known.insert(sid, account);
        }
        for sid in sids {
            match known.get(*sid) {
                Some(account) => self.keep_name(sid, account),
                None => self.forget_name(sid),
            }
        }
        Ok(known)
    }

    /// Whether there is such an account. Accounts are never deleted, so one that is known stays.
    ///
    /// # Errors
    /// Where neither the ledger can be asked, nor is it in Redis.
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
                let standing = self.ask(&Expire { account, most: 0 }).await;
                if matches!(standing, Ok(Some(_))) { Ok(true) } else { Err(error.into()) }
            }
            known => Ok(known?),
        }
    }

    /// Lets Redis know by which Twilio accounts an account is found.
    pub(super) async fn keep_names(&self, snapshot: &Snapshot) {
        if snapshot.twilio_account_sids.is_empty() {
            return;
        }
        let mut command = redis::cmd("MSET");
        for sid in &snapshot.twilio_account_sids {
            command.arg(key_of(sid)).arg(snapshot.account.as_str());
        }
        if let Err(error) = self.look(&command).await {
            tracing::debug!(account = %snapshot.account, %error, "redis does not know its names");
        }
    }

    async fn name_in_redis(&self, sid: &TwilioAccountSid) -> Option<AccountId> {
        match self.look(redis::cmd("GET").arg(key_of(sid))).await {
            Ok(Value::BulkString(id)) => AccountId::parse(std::str::from_utf8(&id).ok()?).ok(),
            _ => None,
        }
    }
}

/// No wallet's key begins so.
fn key_of(sid: &TwilioAccountSid) -> String {
    format!("cm:account_of:{sid}")
}
