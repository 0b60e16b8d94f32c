//! Which account pays for a Twilio account, as this process remembers it.
//!
//! Another process may move a Twilio account to another account, so what is remembered is never
//! believed by itself: the script that uses it holds it against the wallet.

use std::collections::{HashMap, HashSet};

use callmeter_core::domain::{AccountId, TwilioAccountSid};
use sqlx::Row;

use super::error::BalanceError;
use super::stage::Balance;
use crate::ledger::LedgerError;

impl Balance {
    /// The account that pays for a Twilio account, as remembered or else as the ledger has it.
    pub(super) async fn account_of(
        &self,
        sid: &TwilioAccountSid,
    ) -> Result<Option<AccountId>, BalanceError> {
        match self.account_named(sid) {
            Some(account) => Ok(Some(account)),
            None => self.account_in_ledger(sid).await,
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
}
