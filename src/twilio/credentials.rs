//! The credentials for requests to Twilio.

use std::collections::{HashMap, HashSet};

use callmeter_core::domain::TwilioAccountSid;

use super::TwilioError;
use crate::clock::Clock;
use crate::config::{Secret, Settings};
use crate::ledger::LedgerError;
use crate::ledger::store::Store;
use crate::ledger::tokens::{Candidates, TokenError, TwilioTokens, UnopenedToken};
use crate::telemetry::one_line;

/// A Twilio account and its auth token. The token of a parent account also reads its sub-accounts
/// (<https://www.twilio.com/docs/iam/api/subaccounts>).
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The account of the token.
    pub account_sid: TwilioAccountSid,
    /// The auth token.
    pub auth_token: Secret,
}

/// Why there are no credentials.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// Postgres does not answer: no account has credentials.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The token of this account cannot be used.
    #[error(transparent)]
    Twilio(#[from] TwilioError),
}

/// Finds the credentials for a Twilio account; cheap to clone.
#[derive(Clone, Debug)]
pub struct Accesses {
    tokens: TwilioTokens,
    clock: Clock,
}

impl Accesses {
    /// The tokens of all accounts, and those of the settings for accounts without a token.
    pub fn from_settings(settings: &Settings, clock: Clock) -> Self {
        Self { tokens: TwilioTokens::from_settings(settings), clock }
    }

    /// Those of `sids` that have a token, one that cannot be opened included. One statement for
    /// many accounts, of which most may have none.
    ///
    /// # Errors
    /// If Postgres does not answer.
    pub async fn configured(
        &self,
        store: &Store,
        sids: &[TwilioAccountSid],
    ) -> Result<HashSet<TwilioAccountSid>, AccessError> {
        let found = self.candidates(store, sids).await?.into_iter();
        let has_one = found.filter(|(_, candidates)| {
            candidates.unopened.is_some() || candidates.tokens.iter().any(|it| !it.is_previous)
        });
        Ok(has_one.map(|(sid, _)| sid).collect())
    }

    /// The credentials for a Twilio account, the likeliest first: its own token, that of another
    /// Twilio account of the same account (perhaps its parent), else that of the settings. Empty:
    /// no token is set that can log in.
    ///
    /// # Errors
    /// If Postgres does not answer, or the only token cannot be opened.
    pub async fn for_account(
        &self,
        store: &Store,
        sid: &TwilioAccountSid,
    ) -> Result<Vec<Credentials>, AccessError> {
        let mut found = self.candidates(store, std::slice::from_ref(sid)).await?;
        let speaking = found.remove(sid).unwrap_or_default();
        let mut tokens = speaking.tokens.into_iter().filter(|token| !token.is_previous).peekable();
        if let (None, Some(unopened)) = (tokens.peek(), &speaking.unopened) {
            return Err(sealed(unopened).into());
        }
        let credentials = tokens.map(|token| Credentials {
            // The settings may have a token without its account: then it counts for each account.
            account_sid: token.account_sid.unwrap_or_else(|| sid.clone()),
            auth_token: token.token,
        });
        Ok(credentials.collect())
    }

    async fn candidates(
        &self,
        store: &Store,
        sids: &[TwilioAccountSid],
    ) -> Result<HashMap<TwilioAccountSid, Candidates>, AccessError> {
        let mut connection = store.read().await.map_err(LedgerError::from)?;
        let found = self.tokens.speaking_for(&mut connection, sids, self.clock.now()).await;
        found.map_err(|error| match error {
            TokenError::Ledger(error) => AccessError::Ledger(error),
            TokenError::Unopened(token) => AccessError::Twilio(sealed(&token)),
        })
    }
}

fn sealed(token: &UnopenedToken) -> TwilioError {
    TwilioError::Token { problem: one_line(token) }
}
