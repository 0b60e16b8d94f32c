//! Unsubscribes an address from a kind of mails.

use sqlx::PgConnection;

use crate::change::{Affected, Change};
use crate::ledger::Refusable;
use crate::ledger::audit::By;
use crate::ledger::mail::{self, Unsubscription};

/// An unsubscription, read from its token.
#[derive(Clone, Debug)]
pub struct Unsubscribe(pub Unsubscription);

/// The account of the token is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownAddress;

impl Change for Unsubscribe {
    type Done = ();
    type Refusal = UnknownAddress;
    const NAME: &'static str = "mail::unsubscribe";

    async fn apply(&self, connection: &mut PgConnection, by: &By) -> Refusable<(), UnknownAddress> {
        let is_known = mail::unsubscribe(connection, &self.0, by).await?;
        Ok(if is_known { Ok(()) } else { Err(UnknownAddress) })
    }

    fn affects(&self, _: Option<&()>) -> Affected {
        Affected::nothing()
    }
}
