//! Sets a partition's stored offset by hand. Calls that are charged are not charged again.

use std::convert::Infallible;

use sqlx::PgConnection;

use crate::change::{Affected, Change};
use crate::ledger::Refusable;
use crate::ledger::audit::By;
use crate::ledger::offsets::{self, ManualOffset};

/// The offset to set; whether Kafka has it is the caller's to check.
#[derive(Clone, Debug)]
pub struct SetOffset(pub ManualOffset);

impl Change for SetOffset {
    /// The offset that was stored before, if any was.
    type Done = Option<i64>;
    type Refusal = Infallible;
    const NAME: &'static str = "offsets::set";

    async fn apply(
        &self,
        connection: &mut PgConnection,
        by: &By,
    ) -> Refusable<Option<i64>, Infallible> {
        Ok(Ok(offsets::set(connection, &self.0, by).await?))
    }

    fn affects(&self, _: Option<&Option<i64>>) -> Affected {
        Affected::nothing()
    }
}
