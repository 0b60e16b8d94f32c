//! Changes what is set about an account: name, address, limits, policies, and its Twilio token.

use std::sync::Arc;

use callmeter_core::domain::AccountId;
use sqlx::PgConnection;

use super::token::{NewToken, SetToken, TokenRefused};
use crate::change::{Affected, Change};
use crate::ledger::Refusable;
use crate::ledger::accounts::{self, Account, AccountChanges};
use crate::ledger::audit::By;
use crate::ledger::tokens::TwilioTokens;

/// What to change of one account, in one transaction. What is not named stays.
#[derive(Clone, Debug)]
pub struct ChangeSettings {
    /// How tokens are sealed.
    pub tokens: Arc<TwilioTokens>,
    /// The account.
    pub account: AccountId,
    /// Everything but secrets.
    pub changes: AccountChanges,
    /// A token to set or to forget.
    pub token: Option<NewToken>,
}

impl Change for ChangeSettings {
    type Done = Account;
    type Refusal = TokenRefused;
    const NAME: &'static str = "accounts::update";

    async fn apply(
        &self,
        connection: &mut PgConnection,
        by: &By,
    ) -> Refusable<Account, TokenRefused> {
        if let Some(token) = self.token.clone() {
            let (tokens, account) = (Arc::clone(&self.tokens), self.account.clone());
            let set = SetToken { tokens, account, token }.set(connection, by).await?;
            if let Err(refusal) = set {
                return Ok(Err(refusal));
            }
        }
        let account = accounts::update(connection, &self.account, &self.changes, by).await?;
        Ok(account.ok_or(TokenRefused::UnknownAccount))
    }

    fn affects(&self, _: Option<&Account>) -> Affected {
        Affected::account(&self.account)
    }
}
