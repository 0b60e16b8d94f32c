//! The catalog as this process last read it; looked at again every half second.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use callmeter_core::domain::CatalogHistory;
use tokio_util::sync::CancellationToken;

use super::error::BalanceError;
use crate::ledger::store::Store;
use crate::ledger::{LedgerError, catalogs};

/// A new version is in use here after at most so long.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The catalog's versions; stay usable while Postgres is away.
#[derive(Debug)]
pub(super) struct Catalogs {
    store: Store,
    history: ArcSwapOption<CatalogHistory>,
}

impl Catalogs {
    pub(super) fn new(store: Store) -> Self {
        Self { store, history: ArcSwapOption::empty() }
    }

    /// The versions that were read last, or else read now.
    pub(super) async fn history(&self) -> Result<Arc<CatalogHistory>, BalanceError> {
        match self.history.load_full() {
            Some(history) => Ok(history),
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
        let latest = catalogs::latest_version(&mut *self.store.read().await?).await?;
        let known = self.history.load().as_ref().map(|history| history.latest().version);
        if latest != known {
            self.read().await?;
        }
        Ok(())
    }

    async fn read(&self) -> Result<Arc<CatalogHistory>, BalanceError> {
        let history = catalogs::load_history(&mut *self.store.read().await?).await?;
        let history = history
            .ok_or_else(|| LedgerError::unreadable("the catalog", "none was ever accepted"))?;
        let history = Arc::new(history);
        self.history.store(Some(Arc::clone(&history)));
        Ok(history)
    }
}
