//! A wallet read from both of its sides: what the ledger says, and what calls in progress hold.

use callmeter_core::domain::{AccountId, Money};
use chrono::{DateTime, Utc};

use super::view::{WalletView, view};
use crate::balance::{Balance, BalanceError, Held};
use crate::ledger::catalogs;
use crate::ledger::overview::{self, Overview};
use crate::ledger::store::Store;

/// How often the ledger is read again where holds are told of a later version. A wallet that is
/// charged all the time may then be told with the balance of one charge and the holds of the next.
const READS_MAX: usize = 4;

/// Reads wallets.
#[derive(Debug)]
pub struct Wallets {
    store: Store,
    balance: Balance,
    catalogs: catalogs::Cache,
    low_balance_threshold: Money,
}

impl Wallets {
    /// Reads by these; `low_balance_threshold` is for accounts without alert thresholds.
    pub fn new(store: Store, balance: Balance, low_balance_threshold: Money) -> Self {
        Self { store, balance, catalogs: catalogs::Cache::default(), low_balance_threshold }
    }

    /// The wallet as it is at `now`; `None`: there is no such account.
    ///
    /// # Errors
    /// Where Postgres cannot be asked; Redis may be away.
    pub async fn view(
        &self,
        id: &AccountId,
        now: DateTime<Utc>,
    ) -> Result<Option<WalletView>, BalanceError> {
        let Some((overview, held)) = self.read(id, now).await? else { return Ok(None) };
        let catalogs = match overview.catalog {
            None => None,
            Some(stamp) => match self.catalogs.get(stamp) {
                Some(kept) => Some(kept),
                None => Some(self.catalogs.at(&mut *self.store.read().await?, stamp).await?),
            },
        };
        let history = catalogs.as_deref();
        Ok(Some(view(&overview, &held, history, self.low_balance_threshold, now)?))
    }

    /// Reads both sides until they tell of the same version: a charge and the end of its hold must
    /// not be seen apart.
    async fn read(
        &self,
        id: &AccountId,
        now: DateTime<Utc>,
    ) -> Result<Option<(Overview, Held)>, BalanceError> {
        let mut last = None;
        for _ in 0..READS_MAX {
            let overview = overview::read(&mut *self.store.read().await?, id, now).await?;
            let Some(overview) = overview else { return Ok(None) };
            let held = self.balance.held(id, overview.version).await?;
            let Some(held) = held else { return Ok(None) };
            let is_of_one_instant = held.version == overview.version;
            last = Some((overview, held));
            if is_of_one_instant {
                break;
            }
        }
        Ok(last)
    }
}
