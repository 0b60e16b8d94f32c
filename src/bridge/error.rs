//! Why a message of Twilio's was not taken; each kind says whether it should be posted again.

use crate::ingest::publisher::PublishError;
use crate::ledger::LedgerError;
use crate::ledger::shared_keys::UnopenedKey;
use crate::ledger::store::StoreError;
use crate::ledger::tokens::TokenError;

/// A message that was not, or not wholly, published.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Not signed, or not by a token or shared key of the account it is about: never to be posted
    /// again.
    #[error("no auth token or shared key of its account signed it")]
    Forged,
    /// There is no token or shared key to check it by: to be posted again, until an operator has given one.
    #[error("{0}")]
    NotConfigured(&'static str),
    /// A token cannot be told: to be posted again.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// A shared key cannot be opened: to be posted again.
    #[error(transparent)]
    SharedKey(#[from] UnopenedKey),
    /// Kafka did not acknowledge it: to be posted again.
    #[error(transparent)]
    Publish(#[from] PublishError),
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Token(error.into())
    }
}

impl From<LedgerError> for Refusal {
    fn from(error: LedgerError) -> Self {
        Self::Token(error.into())
    }
}
