//! The calls in progress of a wallet, and what each holds.

use callmeter_core::domain::{AccountId, Money};
use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::read::Wallets;
use crate::balance::BalanceError;
use crate::ledger::{LedgerError, call_tags};

/// A call in progress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveCall {
    /// Twilio's id.
    pub call_sid: String,
    /// The tag given with its authorization.
    pub tag: Option<String>,
    /// When its hold was placed.
    pub placed_at: DateTime<Utc>,
    /// How long it may last, counted from its answer.
    pub granted_seconds: u32,
    /// Allowance that it holds.
    pub allowance_seconds: u32,
    /// Money that it holds.
    pub money: Money,
}

impl Wallets {
    /// Calls in progress, the newest first, at most `most`; none while Redis is away or does not
    /// know the account.
    ///
    /// # Errors
    /// If Postgres is unavailable.
    pub async fn live_calls(
        &self,
        connection: &mut PgConnection,
        account: &AccountId,
        account_key: i32,
        most: usize,
    ) -> Result<Vec<LiveCall>, LedgerError> {
        let mut holds = match self.balance.some_holds(account, most).await {
            Ok(holds) => holds,
            Err(BalanceError::Ledger(error)) => return Err(error),
            Err(error) => {
                tracing::debug!(%error, "calls in progress cannot be read");
                return Ok(Vec::new());
            }
        };
        holds.sort_by_key(|(_, hold)| std::cmp::Reverse(hold.placed_at));
        holds.truncate(most);
        if holds.is_empty() {
            return Ok(Vec::new());
        }
        let call_sids: Vec<&str> = holds.iter().map(|(call_sid, _)| call_sid.as_str()).collect();
        let mut tags = call_tags::of_calls(connection, account_key, &call_sids).await?;
        let calls = holds.into_iter().map(|(call_sid, hold)| LiveCall {
            tag: tags.remove(&call_sid),
            placed_at: hold.placed_at,
            granted_seconds: hold.granted_seconds,
            allowance_seconds: hold.allowance_seconds,
            money: hold.money,
            call_sid,
        });
        Ok(calls.collect())
    }
}
