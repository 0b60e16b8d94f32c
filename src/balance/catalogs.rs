//! The catalog as this process last read it; looked at several times a second (`believed.rs`).

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use callmeter_core::domain::{CatalogHistory, CatalogVersion};

use super::error::BalanceError;
use crate::ledger::LedgerError;
use crate::ledger::catalogs::{self, CatalogStamp};
use crate::ledger::store::Store;

/// The catalog's versions; stay usable while Postgres is away.
#[derive(Debug)]
pub(super) struct Catalogs {
    store: Store,
    kept: ArcSwapOption<(CatalogStamp, Arc<CatalogHistory>)>,
}

impl Catalogs {
    pub(super) fn new(store: Store) -> Self {
        Self { store, kept: ArcSwapOption::empty() }
    }

    /// The versions that were read last, where `least` is among them, or else read now: an account's
    /// document tells which version was in force when it was written.
    pub(super) async fn history(
        &self,
        least: CatalogVersion,
    ) -> Result<Arc<CatalogHistory>, BalanceError> {
        match self.kept.load_full() {
            Some(kept) if kept.0.version >= least => Ok(Arc::clone(&kept.1)),
            _ => self.read().await,
        }
    }

    /// Reads the versions where the latest is another one than that of what is kept.
    pub(super) async fn keep_up(&self, latest: Option<CatalogStamp>) -> Result<(), BalanceError> {
        let kept = self.kept.load().as_ref().map(|kept| kept.0);
        if latest.is_some() && latest != kept {
            self.read().await?;
        }
        Ok(())
    }

    async fn read(&self) -> Result<Arc<CatalogHistory>, BalanceError> {
        let mut connection = self.store.read().await?;
        let stamp = catalogs::latest(&mut connection).await?;
        let history = catalogs::load_history(&mut connection).await?;
        let (stamp, history) = stamp
            .zip(history)
            .ok_or_else(|| LedgerError::unreadable("the catalog", "none was ever accepted"))?;
        let history = Arc::new(history);
        self.kept.store(Some(Arc::new((stamp, Arc::clone(&history)))));
        Ok(history)
    }
}
