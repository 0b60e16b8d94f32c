//! The accepted versions of the catalog: how one is accepted, and how all are loaded.
//!
//! An accepted version never changes, so a loaded one stays valid. Whether a newer one exists must
//! be read from Postgres each time it matters.

use std::collections::BTreeSet;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use callmeter_core::domain::{
    Catalog, CatalogError, CatalogHistory, CatalogVersion, PlanId, VersionedCatalog,
};
use chrono::{DateTime, SubsecRound, Utc};
use serde_json::json;
use sqlx::{PgConnection, Row};

use super::audit::{self, Action, AuditEntry, By};
use super::error::LedgerError;
use super::store::{AsStoreError, StoreError};

/// The result of offering a catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The version that holds the source.
    pub version: CatalogVersion,
    /// False if it was the latest version already.
    pub new: bool,
}

/// Why a catalog was not accepted; earlier versions stay.
#[derive(Debug, thiserror::Error)]
pub enum CatalogRefused {
    /// The source is no valid catalog.
    #[error(transparent)]
    Invalid(#[from] CatalogError),
    /// Accounts are subscribed to a plan that it lacks.
    #[error("it lacks plan {plan}, which is in use from {effective_at} on; add the plan again")]
    LacksPlan {
        /// The plan.
        plan: PlanId,
        /// When the catalog would take effect.
        effective_at: DateTime<Utc>,
    },
    /// The ledger could not be read or written.
    #[error("the ledger could not be asked")]
    Ledger(#[source] LedgerError),
}

impl From<StoreError> for CatalogRefused {
    fn from(error: StoreError) -> Self {
        Self::Ledger(error.into())
    }
}

impl From<sqlx::Error> for CatalogRefused {
    fn from(error: sqlx::Error) -> Self {
        Self::from(StoreError::from(error))
    }
}

impl AsStoreError for CatalogRefused {
    fn as_store_error(&self) -> Option<&StoreError> {
        match self {
            Self::Ledger(error) => error.as_store_error(),
            _ => None,
        }
    }
}

/// Loads every accepted version; `None`: none was accepted yet.
///
/// # Errors
/// `Unreadable` if a newer program accepted a version that this one cannot read.
pub async fn load_history(
    connection: &mut PgConnection,
) -> Result<Option<CatalogHistory>, LedgerError> {
    let rows = sqlx::query(
        "-- catalogs::load_history
         SELECT version, effective_at, source FROM catalog_versions ORDER BY version",
    )
    .fetch_all(connection)
    .await?;
    if rows.is_empty() {
        return Ok(None);
    }
    let mut versions = Vec::with_capacity(rows.len());
    for row in rows {
        let catalog = Catalog::parse(row.try_get("source")?)
            .map_err(|error| LedgerError::unreadable("a catalog version", error))?;
        versions.push(VersionedCatalog {
            version: CatalogVersion(row.try_get("version")?),
            effective_at: row.try_get("effective_at")?,
            catalog: Arc::new(catalog),
        });
    }
    let history = CatalogHistory::new(versions);
    history.map(Some).map_err(|error| LedgerError::unreadable("the catalog's history", error))
}

/// Identifies one state of the catalog's history, also after a restored backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CatalogStamp {
    /// The version accepted last.
    pub version: CatalogVersion,
    /// When it was accepted.
    pub accepted_at: DateTime<Utc>,
}

/// The version accepted last; `None`: none was accepted yet.
///
/// # Errors
/// If Postgres is unavailable or refuses the statement.
pub async fn latest(connection: &mut PgConnection) -> Result<Option<CatalogStamp>, StoreError> {
    let row = sqlx::query(
        "-- catalogs::latest
         SELECT version, accepted_at FROM catalog_versions ORDER BY version DESC LIMIT 1",
    )
    .fetch_optional(connection)
    .await?;
    let stamp = row.map(|row| {
        let version = CatalogVersion(row.try_get("version")?);
        Ok::<_, sqlx::Error>(CatalogStamp { version, accepted_at: row.try_get("accepted_at")? })
    });
    Ok(stamp.transpose()?)
}

/// The history as last read. Accepted versions never change, so the stamp shows whether the cached
/// history is right; it stays usable while Postgres is unavailable.
#[derive(Debug, Default)]
pub struct Cache {
    kept: ArcSwapOption<(CatalogStamp, Arc<CatalogHistory>)>,
}

impl Cache {
    /// The cached history of a stamp.
    pub fn get(&self, stamp: CatalogStamp) -> Option<Arc<CatalogHistory>> {
        let kept = self.kept.load();
        kept.as_ref().filter(|kept| kept.0 == stamp).map(|kept| Arc::clone(&kept.1))
    }

    /// The cached history, if it contains this version.
    pub fn with(&self, version: CatalogVersion) -> Option<Arc<CatalogHistory>> {
        let kept = self.kept.load();
        kept.as_ref().filter(|kept| kept.0.version >= version).map(|kept| Arc::clone(&kept.1))
    }

    /// The history of a stamp, read if it is not cached.
    ///
    /// # Errors
    /// `Unreadable` if there is no catalog after all, or a newer program accepted one.
    pub async fn at(
        &self,
        connection: &mut PgConnection,
        stamp: CatalogStamp,
    ) -> Result<Arc<CatalogHistory>, LedgerError> {
        if let Some(kept) = self.get(stamp) {
            return Ok(kept);
        }
        let history = load_history(connection).await?;
        let history = history
            .ok_or_else(|| LedgerError::unreadable("the catalog's history", "it has vanished"))?;
        let history = Arc::new(history);
        self.kept.store(Some(Arc::new((stamp, Arc::clone(&history)))));
        Ok(history)
    }
}

/// A catalog that is offered: read, and not yet accepted.
#[derive(Debug)]
pub struct Offered {
    source: String,
    plans: BTreeSet<PlanId>,
    effective_at: DateTime<Utc>,
}

impl Offered {
    /// Reads a catalog; one that does not say when it takes effect does so `now`.
    ///
    /// # Errors
    /// Where it is no catalog.
    pub fn read(source: String, now: DateTime<Utc>) -> Result<Self, CatalogRefused> {
        let catalog = Catalog::parse(&source)?;
        // To Postgres's resolution, so that what is compared is what is stored.
        let effective_at = catalog.effective_at.unwrap_or(now).trunc_subsecs(6);
        Ok(Self { source, plans: catalog.plans.into_keys().collect(), effective_at })
    }
}

/// Accepts a catalog as the next version, unless it is the latest one already.
///
/// # Errors
/// Why it was refused; the versions before it stay.
pub async fn accept(
    connection: &mut PgConnection,
    offered: &Offered,
    by: &By,
) -> Result<Accepted, CatalogRefused> {
    let Offered { source, plans, effective_at } = offered;
    lock(connection, Purpose::Accept).await?;
    let latest = sqlx::query(
        "-- catalogs::accept, the latest
         SELECT version, source = $1 AS same FROM catalog_versions
         ORDER BY version DESC LIMIT 1",
    )
    .bind(source)
    .fetch_optional(&mut *connection)
    .await?;
    let latest = match latest {
        Some(row) if row.try_get("same")? => {
            by.changed_nothing();
            return Ok(Accepted { version: CatalogVersion(row.try_get("version")?), new: false });
        }
        Some(row) => row.try_get("version")?,
        None => 0,
    };
    let in_use = plans_in_use(connection, *effective_at).await?;
    if let Some(plan) = in_use.into_iter().find(|plan| !plans.contains(plan)) {
        return Err(CatalogRefused::LacksPlan { plan, effective_at: *effective_at });
    }
    let version = latest + 1;
    sqlx::query(
        "-- catalogs::accept
         INSERT INTO catalog_versions (version, effective_at, accepted_at, source)
         VALUES ($1, $2, $3, $4)",
    )
    .bind(version)
    .bind(effective_at)
    .bind(by.at)
    .bind(source)
    .execute(&mut *connection)
    .await?;
    let entry = AuditEntry {
        action: Action::CatalogAccepted,
        account_key: None,
        subject: format!("catalog version {version}"),
        before: json!((latest > 0).then(|| json!({ "version": latest }))),
        after: json!({ "version": version, "effective_at": effective_at }),
    };
    audit::note(connection, by, &entry).await?;
    Ok(Accepted { version: CatalogVersion(version), new: true })
}

/// Why catalogs and subscriptions are locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To accept a catalog: no subscription may start on a plan that it drops.
    Accept,
    /// To subscribe: many may at once, but no catalog may be accepted meanwhile.
    Subscribe,
}

/// Locks catalogs and subscriptions until the transaction ends, so that every plan in use stays in
/// the catalog.
///
/// # Errors
/// If Postgres is unavailable or refuses the statement.
pub async fn lock(connection: &mut PgConnection, purpose: Purpose) -> Result<(), StoreError> {
    let statement = match purpose {
        Purpose::Accept => {
            "-- catalogs::lock, to accept
             SELECT pg_advisory_xact_lock(hashtext('callmeter catalog'))"
        }
        Purpose::Subscribe => {
            "-- catalogs::lock, to subscribe
             SELECT pg_advisory_xact_lock_shared(hashtext('callmeter catalog'))"
        }
    };
    sqlx::query(statement).execute(connection).await?;
    Ok(())
}

/// Plans with a subscription at `from` or later.
async fn plans_in_use(
    connection: &mut PgConnection,
    from: DateTime<Utc>,
) -> Result<Vec<PlanId>, CatalogRefused> {
    let plans: Vec<String> = sqlx::query_scalar(
        "-- catalogs::plans_in_use
         SELECT DISTINCT plan FROM (
             SELECT plan, starts_at,
                 lead(starts_at) OVER (PARTITION BY account_key
                     ORDER BY starts_at, subscription_id) AS ends_at
             FROM subscriptions) AS timeline
         WHERE plan IS NOT NULL
           AND (ends_at IS NULL OR (ends_at > $1 AND ends_at > starts_at))
         ORDER BY plan",
    )
    .bind(from)
    .fetch_all(connection)
    .await?;
    let parse = |plan: &String| {
        PlanId::parse(plan).map_err(|error| {
            CatalogRefused::Ledger(LedgerError::unreadable("a subscription's plan", error))
        })
    };
    plans.iter().map(parse).collect()
}
