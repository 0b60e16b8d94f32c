//! Which shared keys may sign an account's web hooks.

use std::collections::HashMap;

use callmeter_core::domain::{AccountId, TwilioAccountSid};
use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use super::rows::sealed;
use super::{SharedKeys, UnopenedKey, unreadable};
use crate::config::Secret;
use crate::ledger::LedgerError;

/// Rows read at once.
const PAGE: usize = 1_000;

/// A key with a given id: its secret, or why it cannot be opened.
pub type SigningKey = Result<Secret, UnopenedKey>;

/// The keys of one id that may sign for a Twilio account.
#[derive(Clone, Debug, Default)]
pub struct SigningKeys {
    /// The secrets; empty if no key that may sign for it has the id.
    pub secrets: Vec<Secret>,
    /// A key of that id that cannot be opened.
    pub unopened: Option<UnopenedKey>,
    /// True if any key signs for it, under whatever id.
    pub any: bool,
}

impl SharedKeys {
    /// The keys of this id that sign for each of `sids`: the key of the account that pays for it,
    /// and the key in the settings if the account has no keys, or had none until a while ago.
    ///
    /// # Errors
    /// If Postgres fails. A key that cannot be opened is returned for the accounts it would sign
    /// for.
    pub async fn signing_for(
        &self,
        connection: &mut PgConnection,
        key: &str,
        sids: &[TwilioAccountSid],
        now: DateTime<Utc>,
    ) -> Result<HashMap<TwilioAccountSid, SigningKeys>, LedgerError> {
        let mut found = HashMap::<TwilioAccountSid, SigningKeys>::new();
        let mut since = HashMap::<TwilioAccountSid, DateTime<Utc>>::new();
        for sids in sids.chunks(PAGE) {
            let rows = sqlx::query(
                "-- shared_keys::signing_for
                 SELECT asked.twilio_account_sid AS asked, owner.id AS account,
                     own.first_set_at, k.sealed, k.key_id
                 FROM twilio_accounts AS asked JOIN accounts AS owner USING (account_key)
                 JOIN LATERAL (SELECT min(first_set_at) AS first_set_at FROM twilio_shared_keys
                     WHERE account_key = asked.account_key) AS own ON own.first_set_at IS NOT NULL
                 LEFT JOIN twilio_shared_keys AS k
                     ON k.account_key = asked.account_key AND k.shared_key_id = $2
                 WHERE asked.twilio_account_sid = ANY ($1)",
            )
            .bind(sids.iter().map(TwilioAccountSid::as_str).collect::<Vec<_>>())
            .bind(key)
            .fetch_all(&mut *connection)
            .await?;
            for row in &rows {
                let sid = TwilioAccountSid::parse(row.try_get("asked")?).map_err(unreadable)?;
                since.insert(sid.clone(), row.try_get("first_set_at")?);
                let keys = found.entry(sid).or_default();
                keys.any = true;
                if row.try_get::<Option<String>, _>("key_id")?.is_some() {
                    match self.open_row(row, key)? {
                        Ok(secret) => keys.secrets.push(secret),
                        Err(unopened) => keys.unopened = Some(unopened),
                    }
                }
            }
        }
        for sid in sids {
            let keys = found.entry(sid.clone()).or_default();
            if self.defaults_count(since.get(sid).copied(), now) {
                keys.any |= !self.defaults.is_empty();
                keys.secrets.extend(self.default(key).cloned());
            }
        }
        Ok(found)
    }

    /// Every account's key of this id, for a message that names no account.
    ///
    /// # Errors
    /// If Postgres fails, or holds a value that cannot be read.
    pub async fn of_id(
        &self,
        connection: &mut PgConnection,
        key: &str,
    ) -> Result<Vec<SigningKey>, LedgerError> {
        let mut keys: Vec<SigningKey> = self.default(key).cloned().map(Ok).into_iter().collect();
        let mut after = 0_i32;
        loop {
            let rows = sqlx::query(
                "-- shared_keys::of_id
                 SELECT k.account_key, owner.id AS account, k.sealed, k.key_id
                 FROM twilio_shared_keys AS k JOIN accounts AS owner USING (account_key)
                 WHERE k.shared_key_id = $1 AND k.account_key > $2
                 ORDER BY k.account_key LIMIT $3",
            )
            .bind(key)
            .bind(after)
            .bind(i64::try_from(PAGE).unwrap_or(i64::MAX))
            .fetch_all(&mut *connection)
            .await?;
            let Some(last) = rows.last() else { return Ok(keys) };
            after = last.try_get("account_key")?;
            for row in &rows {
                keys.push(self.open_row(row, key)?);
            }
        }
    }

    /// True if the keys in the settings still sign for an account with keys of its own since then:
    /// just long enough for messages that they signed before and that are posted again.
    fn defaults_count(&self, own_since: Option<DateTime<Utc>>, now: DateTime<Utc>) -> bool {
        own_since.is_none_or(|since| now - since < self.previous_counts_for)
    }

    fn open_row(&self, row: &PgRow, key: &str) -> Result<SigningKey, LedgerError> {
        let account = AccountId::parse(row.try_get("account")?).map_err(unreadable)?;
        Ok(self.open(&account, key, &sealed(row)?))
    }
}
