//! Sets or forgets the auth token of an account's Twilio account.

use std::sync::Arc;

use callmeter_core::domain::{AccountId, TwilioAccountSid};
use sqlx::PgConnection;

use crate::change::{Affected, Change};
use crate::config::Secret;
use crate::ledger::audit::By;
use crate::ledger::tokens::{TokenChanged, TwilioTokens};
use crate::ledger::{LedgerError, Refusable};

/// A token to set or forget.
#[derive(Clone, Debug)]
pub struct SetToken {
    /// How tokens are sealed.
    pub tokens: Arc<TwilioTokens>,
    /// The account.
    pub account: AccountId,
    /// The token.
    pub token: NewToken,
}

/// A token and its Twilio account.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// The Twilio account; `None`: the account's first.
    pub account_sid: Option<TwilioAccountSid>,
    /// The token; `None` forgets it with all earlier ones.
    pub token: Option<Secret>,
}

/// Why a token was not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenRefused {
    /// There is no such account.
    UnknownAccount,
    /// The Twilio account is not linked to the account.
    NotLinked,
    /// `secrets.key` is not set, so nothing can be sealed.
    NotConfigured,
}

impl SetToken {
    /// Sets the token, in the transaction of another change.
    ///
    /// # Errors
    /// If the ledger cannot be written.
    pub async fn set(
        &self,
        connection: &mut PgConnection,
        by: &By,
    ) -> Result<Result<(), TokenRefused>, LedgerError> {
        let NewToken { account_sid, token } = &self.token;
        if token.is_some() && !self.tokens.can_be_set() {
            return Ok(Err(TokenRefused::NotConfigured));
        }
        let (sid, token) = (account_sid.as_ref(), token.as_ref());
        Ok(match self.tokens.set(connection, &self.account, sid, token, by).await? {
            TokenChanged::Done => Ok(()),
            TokenChanged::UnknownAccount => Err(TokenRefused::UnknownAccount),
            TokenChanged::NotLinked => Err(TokenRefused::NotLinked),
        })
    }
}

impl Change for SetToken {
    type Done = ();
    type Refusal = TokenRefused;
    const NAME: &'static str = "tokens::set";

    async fn apply(&self, connection: &mut PgConnection, by: &By) -> Refusable<(), TokenRefused> {
        self.set(connection, by).await
    }

    fn affects(&self, _: Option<&()>) -> Affected {
        // Each callback reads the tokens from the ledger.
        Affected::nothing()
    }
}
