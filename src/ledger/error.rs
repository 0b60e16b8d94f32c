//! Errors of the ledger.

use callmeter_core::domain::Money;

use super::store::{AsStoreError, StoreError};

/// A failed write; nothing of its transaction is kept.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// Postgres: the kind says whether to retry the transaction.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The balance would leave the range of amounts: refuse the request.
    #[error("wallet {account_key} has {balance}; {amount} more is out of range")]
    BalanceOutOfRange {
        /// The wallet.
        account_key: i32,
        /// Its balance before.
        balance: Money,
        /// The amount that does not fit.
        amount: Money,
    },
    /// The wallet is not where its locked head says: somebody wrote it without its lock. Stop the
    /// process.
    #[error("wallet {account_key} moved on from transaction {sequence} under its lock")]
    HeadMoved {
        /// The wallet.
        account_key: i32,
        /// The sequence that the head holds.
        sequence: i64,
    },
    /// A change by an administrator wrote no audit entry: a bug of this program.
    #[error("an act of an administrator was not noted in the audit")]
    Unaudited,
    /// Postgres holds what this program never writes: stop and investigate.
    #[error("the ledger holds {what} that cannot be read: {problem}")]
    Unreadable {
        /// Which value.
        what: &'static str,
        /// Why it cannot be read.
        problem: String,
    },
}

impl LedgerError {
    /// True if a retry of the same transaction may succeed.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_transient())
    }

    /// Reports a stored value that cannot be read.
    pub fn unreadable(what: &'static str, problem: impl std::fmt::Display) -> Self {
        Self::Unreadable { what, problem: problem.to_string() }
    }
}

impl From<sqlx::Error> for LedgerError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl AsStoreError for LedgerError {
    fn as_store_error(&self) -> Option<&StoreError> {
        match self {
            Self::Store(error) => Some(error),
            _ => None,
        }
    }
}

/// A change within a transaction: its result, or why it is refused, without effect.
pub type Refusable<T, R> = Result<Result<T, R>, LedgerError>;
