//! Asks for the release of a number. Whoever asks by name wants it given back now; a suspended one
//! waits for an administrator, unless `numbers.release_automatically` is set.

use callmeter_core::domain::{AccountId, NumberId, NumberStatus};
use sqlx::PgConnection;

use super::{NumberError, Numbers};
use crate::change::{Affected, Change};
use crate::ledger::audit::By;
use crate::ledger::numbers::{self, Number, Which, progress};
use crate::ledger::{LedgerError, Refusable, accounts};
use crate::telemetry::one_line;

/// Suspended numbers of one round.
const ROUND: i64 = 100;

/// Why a number is not released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotReleased {
    /// The account has no such number.
    UnknownNumber,
    /// It is not bought yet, or never was.
    NotBought,
}

/// Asks for the release of a number.
#[derive(Clone, Debug)]
struct AskRelease {
    account: AccountId,
    id: NumberId,
    reason: Option<&'static str>,
}

impl Change for AskRelease {
    type Done = Number;
    type Refusal = NotReleased;
    const NAME: &'static str = "numbers::ask_release";

    async fn apply(
        &self,
        connection: &mut PgConnection,
        by: &By,
    ) -> Refusable<Number, NotReleased> {
        if accounts::lock(connection, &self.account).await?.is_none() {
            return Ok(Err(NotReleased::UnknownNumber));
        }
        let number = numbers::find(connection, Which::Id(&self.id)).await?;
        let Some(number) = number.filter(|number| number.account == self.account) else {
            return Ok(Err(NotReleased::UnknownNumber));
        };
        if matches!(number.status, NumberStatus::Pending | NumberStatus::Failed) {
            return Ok(Err(NotReleased::NotBought));
        }
        if !progress::ask_release(connection, &number, self.reason, by).await? {
            by.changed_nothing();
            return Ok(Ok(number));
        }
        let number = numbers::find(connection, Which::Id(&self.id)).await?;
        let number = number.ok_or_else(|| LedgerError::unreadable("a number", "it vanished"))?;
        Ok(Ok(number))
    }

    fn affects(&self, _: Option<&Number>) -> Affected {
        Affected::nothing()
    }
}

impl Numbers {
    /// Asks for the release of a number of an account, by its id or Twilio's. The loop of the role
    /// `jobs` gives it back to Twilio. One that is released, or being released, stays so.
    ///
    /// # Errors
    /// If the ledger cannot be read or written.
    pub(crate) async fn release(
        &self,
        account: AccountId,
        name: &str,
        by: By,
    ) -> Result<Result<Number, NotReleased>, NumberError> {
        let found = numbers::find_named(&mut *self.store.read().await?, name).await?;
        let Some(found) = found.filter(|found| found.account == account) else {
            return Ok(Err(NotReleased::UnknownNumber));
        };
        let change = AskRelease { account, id: found.id, reason: Some("asked_for") };
        Ok(self.changes.run(change, by).await?)
    }

    /// Asks for the release of every suspended number, where the settings say so.
    ///
    /// # Errors
    /// If the ledger cannot be read.
    pub async fn release_suspended(&self) -> Result<usize, NumberError> {
        if !self.settings.releases_automatically {
            return Ok(0);
        }
        let (statuses, now) = ([NumberStatus::Suspended.as_str()], self.clock.now());
        let mut connection = self.store.read().await?;
        let ids = progress::unattended(&mut connection, &statuses, now, ROUND).await?;
        for id in &ids {
            let Some(number) = numbers::find(&mut connection, Which::Id(id)).await? else {
                continue;
            };
            let change = AskRelease { account: number.account, id: id.clone(), reason: None };
            let by = By::new("numbers:release", self.clock.now());
            if let Err(error) = self.changes.run(change, by).await {
                tracing::warn!(number = %id, error = one_line(&error), "a release waits");
            }
        }
        Ok(ids.len())
    }
}
