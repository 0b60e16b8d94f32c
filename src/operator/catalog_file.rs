//! The catalog file: read at start and on SIGHUP, offered to the ledger as a version.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sqlx::PgConnection;

use crate::change::{self, Affected, Change};
use crate::ledger::Refusable;
use crate::ledger::audit::By;
use crate::ledger::catalogs::{self, Accepted, CatalogRefused, Offered};
use crate::ledger::store::Store;
use crate::ledger::unprojected::LEASE;
use crate::metrics::{CATALOG_REFUSED, CATALOG_VERSION};

/// Why the catalog file has no effect; the version in force stays.
#[derive(Debug, thiserror::Error)]
pub enum CatalogFileError {
    /// The file cannot be read.
    #[error("catalog {}: cannot be read ({source}); correct catalog.path", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Its content was not accepted.
    #[error("catalog {}: {source}", path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// Why.
        source: CatalogRefused,
    },
}

impl CatalogFileError {
    /// True if Postgres is only unavailable: offer the file again.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Refused { source: CatalogRefused::Ledger(error), .. } => error.is_transient(),
            _ => false,
        }
    }
}

/// Reads the file, offers it, and counts the result in metrics. Returns when no process authorizes
/// by the previous version any more.
///
/// # Errors
/// Why it was not accepted.
pub async fn offer(store: &Store, path: &Path, by: By) -> Result<Accepted, CatalogFileError> {
    let accepted = match read(path) {
        Ok(source) => accept(store, source, by)
            .await
            .map_err(|source| CatalogFileError::Refused { path: path.to_owned(), source }),
        Err(error) => Err(error),
    };
    if let Ok(Accepted { version, new: true }) = &accepted
        && version.0 > 1
    {
        tokio::time::sleep(LEASE).await;
    }
    match &accepted {
        Ok(accepted) => metrics::gauge!(CATALOG_VERSION).set(f64::from(accepted.version.0)),
        Err(error) if error.is_transient() => {}
        Err(_) => metrics::counter!(CATALOG_REFUSED).increment(1),
    }
    accepted
}

/// Offers a catalog to the ledger. Returns before other processes know it.
///
/// # Errors
/// Why it was not accepted.
pub async fn accept(store: &Store, source: String, by: By) -> Result<Accepted, CatalogRefused> {
    let offered = OfferCatalog(Arc::new(Offered::read(source, by.at)?));
    change::commit(store, offered, by).await.map_err(CatalogRefused::Ledger)?
}

#[derive(Clone, Debug)]
struct OfferCatalog(Arc<Offered>);

impl Change for OfferCatalog {
    type Done = Accepted;
    type Refusal = CatalogRefused;
    const NAME: &'static str = "catalogs::accept";

    async fn apply(
        &self,
        connection: &mut PgConnection,
        by: &By,
    ) -> Refusable<Accepted, CatalogRefused> {
        match catalogs::accept(connection, &self.0, by).await {
            Err(CatalogRefused::Ledger(error)) => Err(error),
            accepted => Ok(accepted),
        }
    }

    fn affects(&self, _: Option<&Accepted>) -> Affected {
        Affected::nothing()
    }
}

/// Reads the file.
///
/// # Errors
/// `Unreadable` if the file cannot be read.
pub fn read(path: &Path) -> Result<String, CatalogFileError> {
    std::fs::read_to_string(path)
        .map_err(|source| CatalogFileError::Unreadable { path: path.to_owned(), source })
}
