//! Auth tokens of Twilio accounts: set, kept sealed, and found by the `AccountSid` that they speak
//! for.
//!
//! A token belongs to one Twilio account and speaks for every Twilio account that is linked to the
//! same account of ours: its own, and its sub-accounts. The token of the settings speaks for
//! accounts that have none. While a token is being replaced, the one before still counts.
//!
//! No token leaves this module but as a [`Secret`].

mod rows;
mod tend;

use std::collections::HashMap;

use callmeter_core::domain::{AccountId, TwilioAccountSid};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use super::accounts;
use super::audit::{self, Action, By, Deed};
use super::error::LedgerError;
use super::store::StoreError;
use crate::config::{Secret, Settings};
use crate::vault::{Sealed, Vault, VaultError};

pub use tend::Tended;

use rows::{Owner, forget, owner_of, put, read_sid, set_at};

/// Accounts whose tokens are looked through for a message that names no account.
const TOKENS_LISTED_MAX: i64 = 1_000;

/// What is wrong with a text that cannot be a token; never repeats it.
pub const NOT_A_TOKEN: &str = "is not 1 to 256 visible ASCII characters without spaces";

/// Takes a text as a token; none: it cannot be one ([`NOT_A_TOKEN`]).
pub fn read_token(text: &str) -> Option<Secret> {
    let fits = (1..=256).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    fits.then(|| Secret::from(text.to_owned()))
}

/// A token with the Twilio account that it logs in as.
#[derive(Clone, Debug)]
pub struct TwilioToken {
    /// The Twilio account; none: the settings name a token without its account.
    pub account_sid: Option<TwilioAccountSid>,
    /// The token.
    pub token: Secret,
    /// True where it was replaced by another, and still counts for a while: Twilio may sign by it,
    /// but does not let it log in.
    pub is_previous: bool,
    /// True for the token of the settings.
    pub is_default: bool,
}

/// What became of a token to be set or forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenChanged {
    /// It is so now, or was so already.
    Done,
    /// There is no such account.
    UnknownAccount,
    /// The Twilio account is not linked to this account.
    NotLinked,
}

/// Why a token cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// A stored token cannot be opened: an operator has to give the key, or set the token anew.
    #[error("the auth token of {account_sid} cannot be opened")]
    Sealed {
        /// Whose token.
        account_sid: TwilioAccountSid,
        /// Why.
        source: VaultError,
    },
    /// The settings have no key at all, but tokens are stored.
    #[error(
        "the auth token of {account_sid} is sealed, and neither secrets.key nor http.admin_key is set"
    )]
    NoKey {
        /// Whose token.
        account_sid: TwilioAccountSid,
    },
    /// The ledger could not be asked.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl From<sqlx::Error> for TokenError {
    fn from(error: sqlx::Error) -> Self {
        Self::Ledger(error.into())
    }
}

impl From<StoreError> for TokenError {
    fn from(error: StoreError) -> Self {
        Self::Ledger(error.into())
    }
}

/// The tokens of all accounts, and how they are sealed.
#[derive(Clone, Debug)]
pub struct TwilioTokens {
    vault: Option<Vault>,
    default: Option<TwilioToken>,
    previous_counts_for: TimeDelta,
}

impl TwilioTokens {
    /// Takes keys, the default token and the time of rotation from the settings.
    pub fn of(settings: &Settings) -> Self {
        let twilio = &settings.twilio;
        let account_sid =
            twilio.account_sid.as_deref().and_then(|sid| TwilioAccountSid::parse(sid).ok());
        Self {
            vault: Vault::of(settings),
            default: twilio.auth_token.clone().map(|token| TwilioToken {
                account_sid,
                token,
                is_previous: false,
                is_default: true,
            }),
            previous_counts_for: TimeDelta::hours(twilio.previous_token_hours.into()),
        }
    }

    /// True where tokens can be sealed.
    pub const fn can_be_set(&self) -> bool {
        self.vault.is_some()
    }

    /// The token of the settings.
    pub const fn default_token(&self) -> Option<&TwilioToken> {
        self.default.as_ref()
    }

    /// Sets the token of a Twilio account, or forgets it and the one before (`token` none). `sid`
    /// none: the first one linked to the account. The token of before counts for a while.
    ///
    /// # Errors
    /// `Unreadable` where there is no key to seal with: ask [`Self::can_be_set`] first.
    pub async fn set(
        &self,
        connection: &mut PgConnection,
        id: &AccountId,
        sid: Option<&TwilioAccountSid>,
        token: Option<&Secret>,
        by: &By,
    ) -> Result<TokenChanged, LedgerError> {
        let Some(head) = accounts::lock(connection, id).await? else {
            return Ok(TokenChanged::UnknownAccount);
        };
        let Some(owner) = owner_of(connection, id, sid).await? else {
            return Ok(TokenChanged::NotLinked);
        };
        let before = set_at(connection, &owner).await?;
        let changed = self.set_unnoted(connection, &owner, token, by.at).await?;
        let after = set_at(connection, &owner).await?;
        let deed = Deed {
            action: token.map_or(Action::TwilioTokenForgotten, |_| Action::TwilioTokenSet),
            account_key: Some(head.account_key),
            subject: owner.sid.to_string(),
            before: json!({ "set_at": before }),
            after: json!({ "set_at": after }),
        };
        audit::note(connection, by, &deed).await?;
        Ok(changed)
    }

    async fn set_unnoted(
        &self,
        connection: &mut PgConnection,
        owner: &Owner,
        token: Option<&Secret>,
        now: DateTime<Utc>,
    ) -> Result<TokenChanged, LedgerError> {
        let Some(token) = token else {
            forget(connection, owner).await?;
            return Ok(TokenChanged::Done);
        };
        if self.current_is(connection, owner, token).await? {
            return Ok(TokenChanged::Done);
        }
        let vault = self.vault.as_ref();
        let vault = vault.ok_or_else(|| LedgerError::unreadable("a token", "there is no key"))?;
        let sealed = vault.seal(owner.sid.as_str(), token);
        let sealed = sealed.map_err(|error| LedgerError::unreadable("a token", error))?;
        put(connection, owner, &sealed, now).await?;
        Ok(TokenChanged::Done)
    }

    /// The tokens that speak for each of `sids`: its own first, then those of the other Twilio
    /// accounts of the same account, current ones before previous ones; the default token where the
    /// account has none, and for a Twilio account that nobody pays for.
    ///
    /// # Errors
    /// Where a token of one of them cannot be opened.
    pub async fn speaking_for(
        &self,
        connection: &mut PgConnection,
        sids: &[TwilioAccountSid],
        now: DateTime<Utc>,
    ) -> Result<HashMap<TwilioAccountSid, Vec<TwilioToken>>, TokenError> {
        let asked: Vec<&str> = sids.iter().map(TwilioAccountSid::as_str).collect();
        let rows = sqlx::query(
            "-- tokens::speaking_for
             SELECT asked.twilio_account_sid AS asked, owner.twilio_account_sid AS owner,
                 t.sealed, t.key_id, t.previous_sealed, t.previous_key_id, t.superseded_at
             FROM twilio_accounts AS asked
             JOIN twilio_accounts AS owner USING (account_key)
             JOIN twilio_tokens AS t ON t.twilio_account_key = owner.twilio_account_key
             WHERE asked.twilio_account_sid = ANY ($1)
             ORDER BY owner.twilio_account_sid <> asked.twilio_account_sid,
                 owner.twilio_account_key",
        )
        .bind(asked)
        .fetch_all(connection)
        .await?;
        let mut found = HashMap::<TwilioAccountSid, Vec<TwilioToken>>::new();
        for row in &rows {
            let asked = read_sid(row, "asked")?;
            found.entry(asked).or_default().extend(self.open_row(row, now)?);
        }
        for sid in sids {
            let tokens = found.entry(sid.clone()).or_default();
            if tokens.is_empty() {
                tokens.extend(self.default.clone());
            }
            tokens.sort_by_key(|token| token.is_previous);
        }
        Ok(found)
    }

    /// Whether there is any token at all.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn exist(&self, connection: &mut PgConnection) -> Result<bool, TokenError> {
        if self.default.is_some() {
            return Ok(true);
        }
        let exist = sqlx::query_scalar(
            "-- tokens::exist
             SELECT EXISTS (SELECT FROM twilio_tokens)",
        )
        .fetch_one(connection)
        .await?;
        Ok(exist)
    }

    /// Every token there is, the default one first, for a message that names no account; the latest
    /// 1,000.
    ///
    /// # Errors
    /// Those of the store. A token that cannot be opened is left out.
    pub async fn all(
        &self,
        connection: &mut PgConnection,
        now: DateTime<Utc>,
    ) -> Result<Vec<TwilioToken>, TokenError> {
        let rows = sqlx::query(
            "-- tokens::all
             SELECT owner.twilio_account_sid AS owner,
                 t.sealed, t.key_id, t.previous_sealed, t.previous_key_id, t.superseded_at
             FROM twilio_tokens AS t JOIN twilio_accounts AS owner USING (twilio_account_key)
             ORDER BY t.set_at DESC LIMIT $1",
        )
        .bind(TOKENS_LISTED_MAX)
        .fetch_all(connection)
        .await?;
        let stored = rows.iter().flat_map(|row| self.open_row(row, now).unwrap_or_default());
        Ok(self.default.clone().into_iter().chain(stored).collect())
    }

    fn open_row(&self, row: &PgRow, now: DateTime<Utc>) -> Result<Vec<TwilioToken>, TokenError> {
        let owner = read_sid(row, "owner")?;
        let mut tokens = Vec::with_capacity(2);
        let current = Sealed { key_id: row.try_get("key_id")?, bytes: row.try_get("sealed")? };
        tokens.push(self.open(&owner, &current, false)?);
        let superseded_at: Option<DateTime<Utc>> = row.try_get("superseded_at")?;
        if superseded_at.is_some_and(|at| now - at < self.previous_counts_for) {
            let (key_id, bytes) =
                (row.try_get("previous_key_id")?, row.try_get("previous_sealed")?);
            tokens.push(self.open(&owner, &Sealed { key_id, bytes }, true)?);
        }
        Ok(tokens)
    }

    fn open(
        &self,
        owner: &TwilioAccountSid,
        sealed: &Sealed,
        is_previous: bool,
    ) -> Result<TwilioToken, TokenError> {
        let account_sid = owner.clone();
        let Some(vault) = &self.vault else { return Err(TokenError::NoKey { account_sid }) };
        match vault.open(owner.as_str(), sealed) {
            Ok(token) => Ok(TwilioToken {
                account_sid: Some(account_sid),
                token,
                is_previous,
                is_default: false,
            }),
            Err(source) => Err(TokenError::Sealed { account_sid, source }),
        }
    }

    /// True where the token that counts is this one already. One that cannot be opened is not.
    async fn current_is(
        &self,
        connection: &mut PgConnection,
        owner: &Owner,
        token: &Secret,
    ) -> Result<bool, LedgerError> {
        let row = sqlx::query(
            "-- tokens::current_is
             SELECT key_id, sealed FROM twilio_tokens WHERE twilio_account_key = $1",
        )
        .bind(owner.key)
        .fetch_optional(connection)
        .await?;
        let Some(row) = row else { return Ok(false) };
        let sealed = Sealed { key_id: row.try_get("key_id")?, bytes: row.try_get("sealed")? };
        let opened = self.open(&owner.sid, &sealed, false);
        Ok(opened.is_ok_and(|current| current.token.expose() == token.expose()))
    }
}
