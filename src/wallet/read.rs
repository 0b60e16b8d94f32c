//! Reads a wallet from both sources: the ledger, and the holds of calls in progress.

use std::sync::Arc;
use std::time::Duration;

use callmeter_core::domain::{AccountId, CatalogHistory, Money};
use chrono::{DateTime, NaiveDate, Utc};
use futures::FutureExt;

use super::insights::{self, CycleDays, InsightsView};
use super::view::{WalletView, view};
use crate::balance::{Balance, BalanceError, Held};
use crate::ledger::LedgerError;
use crate::ledger::catalogs;
use crate::ledger::insights::Days;
use crate::ledger::overview::{self, Overview};
use crate::ledger::statements::{self, Month, Statement};
use crate::ledger::store::Store;
use crate::recent::Recent;

/// How often the ledger is read again if the holds are of a later version. For a wallet that is
/// charged all the time, the view may then combine the balance of one charge with the holds of the
/// next.
const READS_MAX: usize = 4;

/// How long a pace stands.
const PACE_STANDS: Duration = Duration::from_mins(1);

/// Reads wallets.
#[derive(Debug)]
pub struct Wallets {
    pub(super) store: Store,
    pub(super) balance: Balance,
    catalogs: catalogs::Cache,
    low_balance_threshold: Money,
    /// What accounts spent in their last full days, with the UTC day of the look: only late charges
    /// change it before midnight.
    paces: Recent<AccountId, (NaiveDate, Money)>,
}

/// A wallet, and what it was computed from.
#[derive(Debug)]
pub(super) struct Standing {
    pub(super) overview: Overview,
    /// `None`: no catalog was accepted yet.
    pub(super) catalogs: Option<Arc<CatalogHistory>>,
    pub(super) view: WalletView,
}

impl Wallets {
    /// Reads from `store` and `balance`; `low_balance_threshold` is for accounts without alert
    /// thresholds.
    pub fn new(store: Store, balance: Balance, low_balance_threshold: Money) -> Self {
        let (catalogs, paces) = (catalogs::Cache::default(), Recent::new(PACE_STANDS));
        Self { store, balance, catalogs, low_balance_threshold, paces }
    }

    /// The wallet at `now`; `None`: there is no such account.
    ///
    /// # Errors
    /// If Postgres is unavailable; Redis may be.
    pub async fn view(
        &self,
        id: &AccountId,
        now: DateTime<Utc>,
    ) -> Result<Option<WalletView>, BalanceError> {
        Ok(self.standing(id, now).await?.map(|standing| standing.view))
    }

    /// The wallet at `now`, with what it was computed from.
    pub(super) async fn standing(
        &self,
        id: &AccountId,
        now: DateTime<Utc>,
    ) -> Result<Option<Standing>, BalanceError> {
        let Some((overview, held)) = self.read(id, now).await? else { return Ok(None) };
        let catalogs = match overview.catalog {
            None => None,
            Some(stamp) => match self.catalogs.get(stamp) {
                Some(kept) => Some(kept),
                None => Some(self.catalogs.at(&mut *self.store.read().await?, stamp).await?),
            },
        };
        let history = catalogs.as_deref();
        let view = view(&overview, &held, history, self.low_balance_threshold, now)?;
        Ok(Some(Standing { overview, catalogs, view }))
    }

    /// The ledger that it reads.
    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    /// A month of a wallet; a month that is over is closed first. `None`: there is no such account,
    /// or the month has not begun.
    ///
    /// # Errors
    /// If Postgres is unavailable, or the rows do not add up.
    pub async fn statement(
        &self,
        id: &AccountId,
        month: Month,
        now: DateTime<Utc>,
    ) -> Result<Option<Statement>, LedgerError> {
        let read = self.store.transact("statements::read", |connection| {
            let id = id.clone();
            async move { statements::read(connection, &id, month, now).await }.boxed()
        });
        read.await
    }

    /// Where the money of some days went, and how far the rest reaches; `None`: there is no such
    /// account.
    ///
    /// # Errors
    /// If Postgres is unavailable; Redis may be.
    pub async fn insights(
        &self,
        id: &AccountId,
        days: Days,
        now: DateTime<Utc>,
    ) -> Result<Option<InsightsView>, BalanceError> {
        let Some(view) = self.view(id, now).await? else { return Ok(None) };
        Ok(insights::read(&self.store, id, days, view.available, now).await?)
    }

    /// The days of an account's present and last cycle.
    ///
    /// # Errors
    /// If Postgres is unavailable.
    pub async fn cycle_days(
        &self,
        account_key: i32,
        now: DateTime<Utc>,
    ) -> Result<CycleDays, LedgerError> {
        insights::cycle_days(&self.store, account_key, now).await
    }

    /// For how many whole days `available` lasts at the pace of the last 7 full UTC days; `None`:
    /// nothing was spent in them.
    ///
    /// # Errors
    /// If Postgres is unavailable.
    pub async fn runway_days(
        &self,
        id: &AccountId,
        available: Money,
        now: DateTime<Utc>,
    ) -> Result<Option<i64>, LedgerError> {
        let pace = insights::pace(&self.store, id, now).await?;
        self.paces.keep(id.clone(), (now.date_naive(), pace));
        Ok(insights::runway_days(available, pace))
    }

    /// The same by a pace that was read within a minute.
    ///
    /// # Errors
    /// If Postgres is unavailable.
    pub async fn recent_runway_days(
        &self,
        id: &AccountId,
        available: Money,
        now: DateTime<Utc>,
    ) -> Result<Option<i64>, LedgerError> {
        match self.paces.find(id) {
            Some((day, pace)) if day == now.date_naive() => {
                Ok(insights::runway_days(available, pace))
            }
            _ => self.runway_days(id, available, now).await,
        }
    }

    /// Reads both sources until their versions agree: the view must not show a charge without the
    /// end of its hold.
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
