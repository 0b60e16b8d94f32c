//! The catalog as this process last read it; looked at again every half second.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use callmeter_core::domain::CatalogHistory;
use tokio_util::sync::CancellationToken;

use super::error::BalanceError;
use crate::ledger::LedgerError;
use crate::ledger::catalogs::{self, CatalogStamp};
use crate::ledger::store::Store;

/// A new version is in use here after at most so long.
const LOOK_EVERY: Duration = Duration::from_millis(500);

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

    /// The versions that were read last, or else read now.
    pub(super) async fn history(&self) -> Result<Arc<CatalogHistory>, BalanceError> {
        match self.kept.load_full() {
            Some(kept) => Ok(Arc::clone(&kept.1)),
            None => self.read().await,
        }
    }

    /// Looks for a newer version until `shutdown`.
    pub(super) async fn run(&self, shutdown: CancellationToken) {
        while shutdown.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_some() {
            if let Err(error) = self.look().await {
                tracing::debug!(%error, "the catalog in use stays");
            }
        }
    }

    async fn look(&self) -> Result<(), BalanceError> {
        let latest = catalogs::latest(&mut *self.store.read().await?).await?;
        let kept = self.kept.load().as_ref().map(|kept| kept.0);
        if latest != kept {
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
