//! What can go wrong between us and Redis.

use callmeter_core::domain::AccountId;
use redis::RedisError;

use crate::ledger::LedgerError;
use crate::ledger::store::{AsStoreError, StoreError};

/// Why holds cannot be read or changed right now.
#[derive(Debug, thiserror::Error)]
pub enum BalanceError {
    /// Redis cannot be reached, or answers too late: the command may or may not have been applied.
    #[error("redis cannot be reached")]
    Lost(#[source] RedisError),
    /// A script refused its arguments or the data it found; nothing can be granted.
    #[error("redis refused a script")]
    Refused(#[source] RedisError),
    /// A script's answer breaks its contract.
    #[error("the answer of {script} cannot be read: {found}")]
    Unreadable {
        /// The script.
        script: &'static str,
        /// What was found.
        found: String,
    },
    /// The account could not be loaded into Redis after all attempts.
    #[error("account {account} could not be loaded: {why}")]
    NotLoaded {
        /// The account.
        account: String,
        /// What prevented the last attempt.
        why: String,
    },
    /// The ledger cannot be asked.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl BalanceError {
    /// An answer that breaks its script's contract.
    pub(crate) fn unreadable(script: &'static str, found: &str) -> Self {
        Self::Unreadable { script, found: found.to_owned() }
    }

    /// An account that could not be loaded into Redis, with the reason.
    pub(crate) fn not_loaded(account: &AccountId, why: &str) -> Self {
        Self::NotLoaded { account: account.to_string(), why: why.to_owned() }
    }

    /// True if Redis could not be reached, so that the account's policy decides.
    pub const fn is_lost(&self) -> bool {
        matches!(self, Self::Lost(_))
    }

    /// True if the ledger could not be asked.
    pub(crate) fn is_of_the_ledger(&self) -> bool {
        matches!(self, Self::Ledger(error) if error.is_transient())
    }

    /// True if a retry may succeed: nothing is wrong with the request.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Lost(_) | Self::NotLoaded { .. } => true,
            Self::Ledger(error) => error.is_transient(),
            Self::Refused(_) | Self::Unreadable { .. } => false,
        }
    }
}

impl From<StoreError> for BalanceError {
    fn from(error: StoreError) -> Self {
        Self::Ledger(error.into())
    }
}

impl From<sqlx::Error> for BalanceError {
    fn from(error: sqlx::Error) -> Self {
        Self::Ledger(error.into())
    }
}

impl AsStoreError for BalanceError {
    fn as_store_error(&self) -> Option<&StoreError> {
        match self {
            Self::Ledger(error) => error.as_store_error(),
            _ => None,
        }
    }
}
