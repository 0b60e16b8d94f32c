//! Why a command failed, and its exit code.

use std::process::ExitCode;

use callmeter_core::domain::AccountId;

use crate::app::one_line;
use crate::balance::{BalanceError, Fault};
use crate::change::ChangeError;
use crate::config::SettingsError;
use crate::ledger::LedgerError;
use crate::ledger::schema::SchemaError;
use crate::ledger::store::{AsStoreError, StoreError};
use crate::operator::catalog_file::CatalogFileError;
use crate::operator::replay_reject::ReplayError;

/// A command that failed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The settings are wrong.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The catalog's file is wrong.
    #[error(transparent)]
    Catalog(#[from] CatalogFileError),
    /// Redis is not usable as configured.
    #[error(transparent)]
    Redis(#[from] Fault),
    /// An argument is wrong.
    #[error("{0}")]
    Usage(String),
    /// Valid, but refused.
    #[error("{0}")]
    Refused(String),
    /// The schema is not the one of this program.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// The ledger did not answer, or is broken.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The change is committed, but the next authorization may not see it.
    #[error(
        "the change of {account} is made, but authorizations may not see it for a while: {}; run \
         `callmeter status`, then the same command again",
        one_line(.source)
    )]
    NotVisible {
        /// The account.
        account: AccountId,
        /// Why neither Redis nor Postgres took it.
        source: BalanceError,
    },
    /// Standard output cannot be written.
    #[error("the result cannot be written")]
    Output(#[source] std::io::Error),
    /// The machine has no thread for the runtime.
    #[error("the runtime cannot start")]
    Runtime(#[source] std::io::Error),
    /// The service ended with an error.
    #[error("{}", one_line(.0.as_ref()))]
    Service(anyhow::Error),
}

impl CommandError {
    /// 2 for wrong usage or settings, 1 for everything else.
    pub fn exit_code(&self) -> ExitCode {
        let wrong_usage = match self {
            Self::Settings(_)
            | Self::Usage(_)
            | Self::Redis(_)
            | Self::Schema(SchemaError::Store(StoreError::Pooled))
            | Self::Ledger(LedgerError::Store(StoreError::Pooled)) => true,
            Self::Catalog(error) => !error.is_transient(),
            Self::Service(error) => {
                let is_pooled =
                    matches!(error.downcast_ref(), Some(SchemaError::Store(StoreError::Pooled)));
                is_pooled || error.is::<CatalogFileError>() || error.is::<Fault>()
            }
            _ => false,
        };
        ExitCode::from(if wrong_usage { 2 } else { 1 })
    }
}

impl From<StoreError> for CommandError {
    fn from(error: StoreError) -> Self {
        Self::Ledger(error.into())
    }
}

impl From<ChangeError> for CommandError {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::Ledger(error) => error.into(),
            ChangeError::NotVisible { account, source } => Self::NotVisible { account, source },
        }
    }
}

impl From<ReplayError> for CommandError {
    fn from(error: ReplayError) -> Self {
        match error {
            ReplayError::Change(error) => error.into(),
            error => refused(error.to_string()),
        }
    }
}

/// There is no account of this id.
pub(super) fn unknown(id: &AccountId) -> CommandError {
    refused(format!("there is no account {id}"))
}

/// Valid, but refused for this reason.
pub(super) fn refused(why: impl Into<String>) -> CommandError {
    CommandError::Refused(why.into())
}

impl AsStoreError for CommandError {
    fn as_store_error(&self) -> Option<&StoreError> {
        match self {
            Self::Ledger(error) => error.as_store_error(),
            _ => None,
        }
    }
}
