//! Auth tokens of Twilio accounts: set, stored sealed, and found by the `AccountSid` for which they
//! are valid.
//!
//! A token belongs to one Twilio account. It is valid for every Twilio account linked to the same
//! account of ours: its own, and its sub-accounts. The token in the settings is valid for accounts
//! that have none. A replaced token stays valid for a while, and so does the one in the settings
//! after an account gets its first. A forgotten token is revoked at once.
//!
//! A token leaves this module only as a [`Secret`].

mod candidates;
mod maintenance;
mod rows;

use callmeter_core::domain::{AccountId, TwilioAccountSid};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use sqlx::{PgConnection, Row};

use super::accounts;
use super::audit::{self, Action, AuditEntry, By};
use super::error::LedgerError;
use super::store::StoreError;
use crate::config::{Secret, Settings};
use crate::vault::{Sealed, Vault, VaultError};

pub use candidates::{Candidates, Signer};
pub use maintenance::Tended;

use rows::{Owner, forget, owner_of, put, read_sid, set_at};

/// Why a text cannot be a token; never repeats it.
pub const NOT_A_TOKEN: &str = "is not 1 to 256 visible ASCII characters without spaces";

/// Reads a text as a token; `None`: it cannot be one ([`NOT_A_TOKEN`]).
pub fn read_token(text: &str) -> Option<Secret> {
    let fits = (1..=256).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    fits.then(|| Secret::from(text.to_owned()))
}

/// A token with the Twilio account that it logs in as.
#[derive(Clone, Debug)]
pub struct TwilioToken {
    /// The Twilio account; `None`: the settings have a token without its account.
    pub account_sid: Option<TwilioAccountSid>,
    /// The token.
    pub token: Secret,
    /// True if it was replaced and is valid for a while: Twilio may still sign with it, but refuses
    /// it as a login.
    pub is_previous: bool,
    /// True for the token of the settings.
    pub is_default: bool,
}

/// The result of a change of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenChanged {
    /// It is as requested, perhaps already was.
    Done,
    /// There is no such account.
    UnknownAccount,
    /// The Twilio account is not linked to this account.
    NotLinked,
}

/// Why a stored token cannot be used: an operator has to restore the key, or set the token again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnopenedToken {
    /// It cannot be opened.
    #[error("the auth token of {account_sid} cannot be opened")]
    Sealed {
        /// Its Twilio account.
        account_sid: TwilioAccountSid,
        /// Why.
        source: VaultError,
    },
    /// Tokens are stored, but the settings have no key at all.
    #[error(
        "the auth token of {account_sid} is sealed, and neither secrets.key nor http.admin_key is set"
    )]
    NoKey {
        /// Its Twilio account.
        account_sid: TwilioAccountSid,
    },
}

/// Why a token is not available.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// A stored token cannot be opened.
    #[error(transparent)]
    Unopened(#[from] UnopenedToken),
    /// The ledger could not be read.
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
    /// Takes the keys, the default token and the time of rotation from the settings.
    pub fn from_settings(settings: &Settings) -> Self {
        let twilio = &settings.twilio;
        let account_sid =
            twilio.account_sid.as_deref().and_then(|sid| TwilioAccountSid::parse(sid).ok());
        Self {
            vault: Vault::from_settings(settings),
            default: twilio.auth_token.clone().map(|token| TwilioToken {
                account_sid,
                token,
                is_previous: false,
                is_default: true,
            }),
            previous_counts_for: TimeDelta::hours(twilio.previous_token_hours.into()),
        }
    }

    /// True if tokens can be sealed.
    pub const fn can_be_set(&self) -> bool {
        self.vault.is_some()
    }

    /// The token in the settings.
    pub const fn default_token(&self) -> Option<&TwilioToken> {
        self.default.as_ref()
    }

    /// Sets the token of a Twilio account; `token` `None`: forgets it with all earlier ones. `sid`
    /// `None`: the account's first linked one. A replaced token stays valid for a while.
    ///
    /// # Errors
    /// `Unreadable` if there is no key to seal with: check [`Self::can_be_set`] first.
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
        if after == before {
            by.changed_nothing();
            return Ok(changed);
        }
        let entry = AuditEntry {
            action: token.map_or(Action::TwilioTokenForgotten, |_| Action::TwilioTokenSet),
            account_key: Some(head.account_key),
            subject: owner.sid.to_string(),
            before: json!({ "set_at": before }),
            after: json!({ "set_at": after }),
        };
        audit::note(connection, by, &entry).await?;
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

    /// True if there is any token.
    ///
    /// # Errors
    /// If Postgres fails, or holds a value that cannot be read.
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

    fn open(
        &self,
        owner: &TwilioAccountSid,
        sealed: &Sealed,
        is_previous: bool,
    ) -> Result<TwilioToken, UnopenedToken> {
        let account_sid = owner.clone();
        let Some(vault) = &self.vault else { return Err(UnopenedToken::NoKey { account_sid }) };
        match vault.open(owner.as_str(), sealed) {
            Ok(token) => Ok(TwilioToken {
                account_sid: Some(account_sid),
                token,
                is_previous,
                is_default: false,
            }),
            Err(source) => Err(UnopenedToken::Sealed { account_sid, source }),
        }
    }

    /// True if the current token is this one already. One that cannot be opened is not.
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
