//! Changes an account's settings: name, address, limits, policies, and Twilio secrets.

use std::sync::Arc;

use callmeter_core::domain::AccountId;
use sqlx::PgConnection;

use super::shared_keys::{ChangeSharedKeys, SharedKeysRefused};
use super::token::{NewToken, SetToken, TokenRefused};
use crate::change::{Affected, Change};
use crate::ledger::Refusable;
use crate::ledger::accounts::{self, Account, AccountChanges};
use crate::ledger::audit::By;
use crate::ledger::shared_keys::{KeyChanges, SharedKeys};
use crate::ledger::tokens::TwilioTokens;

/// Changes of one account, in one transaction. Values that are not given stay.
#[derive(Clone, Debug)]
pub struct ChangeSettings {
    /// The account.
    pub account: AccountId,
    /// All changes but secrets.
    pub changes: AccountChanges,
    /// A token to set or to forget.
    pub token: Option<NewToken>,
    /// Shared keys to set and to forget.
    pub shared_keys: Option<KeyChanges>,
    /// How tokens are sealed.
    pub tokens: Arc<TwilioTokens>,
    /// How shared keys are sealed.
    pub keys: Arc<SharedKeys>,
}

/// Why an account is not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettingsRefused {
    /// There is no such account.
    UnknownAccount,
    /// The token is refused.
    Token(TokenRefused),
    /// The shared keys are refused.
    SharedKeys(SharedKeysRefused),
}

impl From<TokenRefused> for SettingsRefused {
    fn from(refused: TokenRefused) -> Self {
        match refused {
            TokenRefused::UnknownAccount => Self::UnknownAccount,
            refused => Self::Token(refused),
        }
    }
}

impl From<SharedKeysRefused> for SettingsRefused {
    fn from(refused: SharedKeysRefused) -> Self {
        match refused {
            SharedKeysRefused::UnknownAccount => Self::UnknownAccount,
            refused => Self::SharedKeys(refused),
        }
    }
}

impl Change for ChangeSettings {
    type Done = Account;
    type Refusal = SettingsRefused;
    const NAME: &'static str = "accounts::update";

    async fn apply(
        &self,
        connection: &mut PgConnection,
        by: &By,
    ) -> Refusable<Account, SettingsRefused> {
        let keys = self.shared_keys.clone().map(|changes| {
            let (keys, account) = (Arc::clone(&self.keys), self.account.clone());
            ChangeSharedKeys { keys, account, changes }
        });
        // A refusal must change nothing, so the keys are checked first.
        if let Some(keys) = &keys
            && let Err(refused) = keys.check(connection).await?
        {
            return Ok(Err(refused.into()));
        }
        if let Some(token) = self.token.clone() {
            let (tokens, account) = (Arc::clone(&self.tokens), self.account.clone());
            let set = SetToken { tokens, account, token }.set(connection, by).await?;
            if let Err(refused) = set {
                return Ok(Err(refused.into()));
            }
        }
        if let Some(keys) = &keys
            && let Err(refused) = keys.change(connection, by).await?
        {
            return Ok(Err(refused.into()));
        }
        let account = accounts::update(connection, &self.account, &self.changes, by).await?;
        Ok(account.ok_or(SettingsRefused::UnknownAccount))
    }

    fn affects(&self, _: Option<&Account>) -> Affected {
        Affected::account(&self.account)
    }
}
