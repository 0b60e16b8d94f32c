//! Closes a reject for good; it no longer counts as open.

use sqlx::PgConnection;

use crate::change::{Affected, Change};
use crate::ledger::Refusable;
use crate::ledger::audit::By;
use crate::ledger::rejects::{self, Closed, NotClosed};

/// The reject to close. The reason is in [`By`].
#[derive(Clone, Copy, Debug)]
pub struct CloseReject(pub i64);

impl Change for CloseReject {
    type Done = Closed;
    type Refusal = NotClosed;
    const NAME: &'static str = "rejects::close";

    async fn apply(&self, connection: &mut PgConnection, by: &By) -> Refusable<Closed, NotClosed> {
        rejects::close(connection, self.0, by).await
    }

    fn affects(&self, _: Option<&Closed>) -> Affected {
        Affected::nothing()
    }
}
