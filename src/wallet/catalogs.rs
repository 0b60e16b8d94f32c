//! The catalog's history, parsed once and kept while Postgres says that it is still the latest.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use callmeter_core::domain::CatalogHistory;

use crate::ledger::LedgerError;
use crate::ledger::catalogs::{self, CatalogStamp};
use crate::ledger::store::Store;

/// Parsed catalogs of one process. An accepted version never changes, so the stamp, which each
/// request reads from Postgres, tells whether what is kept is right.
#[derive(Debug, Default)]
pub(super) struct Catalogs {
    kept: ArcSwapOption<(CatalogStamp, CatalogHistory)>,
}

impl Catalogs {
    /// Gives the history that belongs to a stamp, from Postgres where it is not kept.
    ///
    /// # Errors
    /// Those of the ledger; `Unreadable` where there is no catalog after all.
    pub(super) async fn history(
        &self,
        store: &Store,
        stamp: CatalogStamp,
    ) -> Result<Arc<(CatalogStamp, CatalogHistory)>, LedgerError> {
        if let Some(kept) = self.kept.load_full()
            && kept.0 == stamp
        {
            return Ok(kept);
        }
        let mut connection = store.read().await?;
        let history = catalogs::load_history(&mut connection).await?;
        let history = history
            .ok_or_else(|| LedgerError::unreadable("the catalog's history", "it has vanished"))?;
        let kept = Arc::new((stamp, history));
        self.kept.store(Some(Arc::clone(&kept)));
        Ok(kept)
    }
}
