//! As whom Twilio is asked.

use callmeter_core::domain::TwilioAccountSid;

use super::TwilioError;
use crate::clock::Clock;
use crate::config::{Secret, Settings};
use crate::ledger::LedgerError;
use crate::ledger::store::Store;
use crate::ledger::tokens::{TokenError, TwilioTokens, UnopenedToken};
use crate::telemetry::one_line;

/// A Twilio account and its auth token. A parent account's may ask for its sub-accounts too
/// (<https://www.twilio.com/docs/iam/api/subaccounts>).
#[derive(Clone, Debug)]
pub struct Credentials {
    /// Whose token it is.
    pub account_sid: TwilioAccountSid,
    /// The auth token.
    pub auth_token: Secret,
}

/// Why it is not known as whom to ask.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// Postgres cannot be asked: no account can.
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
    /// The tokens of all accounts; for those that have none `twilio.account_sid` with its token.
    pub fn of(settings: &Settings, clock: Clock) -> Self {
        Self { tokens: TwilioTokens::of(settings), clock }
    }

    /// As whom to ask for a Twilio account, the likeliest first: by its own token, by that of another
    /// Twilio account of the same account (its parent, perhaps), else by that of the settings. None:
    /// nobody gave a token that can log in.
    ///
    /// # Errors
    /// Where a token cannot be read.
    pub async fn for_account(
        &self,
        store: &Store,
        sid: &TwilioAccountSid,
    ) -> Result<Vec<Credentials>, AccessError> {
        let mut connection = store.read().await.map_err(LedgerError::from)?;
        let sids = std::slice::from_ref(sid);
        let sealed = |token: &UnopenedToken| TwilioError::Token { problem: one_line(token) };
        let found = self.tokens.speaking_for(&mut connection, sids, self.clock.now()).await;
        let mut found = found.map_err(|error| match error {
            TokenError::Ledger(error) => AccessError::Ledger(error),
            TokenError::Unopened(token) => AccessError::Twilio(sealed(&token)),
        })?;
        let speaking = found.remove(sid).unwrap_or_default();
        let mut tokens = speaking.tokens.into_iter().filter(|token| !token.is_previous).peekable();
        if let (None, Some(unopened)) = (tokens.peek(), &speaking.unopened) {
            return Err(sealed(unopened).into());
        }
        let credentials = tokens.map(|token| Credentials {
            // The settings may name a token without its account: then it is each one's own.
            account_sid: token.account_sid.unwrap_or_else(|| sid.clone()),
            auth_token: token.token,
        });
        Ok(credentials.collect())
    }
}
