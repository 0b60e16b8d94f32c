//! Why a session of a partition ended.

use rdkafka::error::KafkaError;

use super::checkpoint::Halt;
use crate::ledger::batch::CommitError;
use crate::ledger::store::StoreError;

/// Why a worker's session ended; it starts another one, unless it was stopped.
#[derive(Debug)]
pub(super) enum End {
    /// The partition was taken away, or the process stops.
    Stopped,
    /// Another consumer moved the offset, or the log's ends moved: look anew.
    Restart,
    /// An operator has to decide.
    Halted(Halt),
    /// Kafka cannot be asked right now.
    Kafka(KafkaError),
    /// The client gave the partition up: only a new assignment takes it up again.
    GivenUp(KafkaError),
    /// Postgres cannot be asked right now, or refuses what was never refused before.
    Ledger(CommitError),
}

impl From<StoreError> for End {
    fn from(error: StoreError) -> Self {
        Self::Ledger(error.into())
    }
}
