//! Why a session of a partition ended.

use rdkafka::error::KafkaError;

use super::checkpoint::Halt;
use crate::ledger::batch::CommitError;
use crate::ledger::store::StoreError;

/// Why a worker's session ended. The worker starts another one unless it was stopped.
#[derive(Debug)]
pub(super) enum End {
    /// The partition was revoked, or the process stops.
    Stopped,
    /// Another consumer moved the offset, or the log's ends moved: read them again.
    Restart,
    /// An operator has to decide.
    Halted(Halt),
    /// Kafka cannot be reached.
    Kafka(KafkaError),
    /// The client gave the partition up: only a new assignment starts it again.
    GivenUp(KafkaError),
    /// Postgres cannot be reached, or refuses a statement that it has always accepted.
    Ledger(CommitError),
}

impl From<StoreError> for End {
    fn from(error: StoreError) -> Self {
        Self::Ledger(error.into())
    }
}
