//! Why the bridge refused a message of Twilio; each kind says whether Twilio should post it again.

use crate::ingest::publisher::PublishError;
use crate::ledger::LedgerError;
use crate::ledger::shared_keys::UnopenedKey;
use crate::ledger::store::StoreError;
use crate::ledger::tokens::TokenError;

/// A message that was not published, or only in part.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Not signed, or not by a token or shared key of its account: do not post it again.
    #[error("no auth token or shared key of its account signed it")]
    Forged,
    /// No token or shared key is set to check it: post it again, until an operator sets one.
    #[error("{0}")]
    NotConfigured(&'static str),
    /// A token cannot be read: post it again.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// A shared key cannot be opened: post it again.
    #[error(transparent)]
    SharedKey(#[from] UnopenedKey),
    /// Kafka did not acknowledge it: post it again.
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
