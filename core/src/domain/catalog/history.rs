//! The versions of the catalog, and which one is in force at a given time.
//!
//! Place in the flow: loaded from the ledger at start and after each acceptance. Rating takes the
//! rates at a call's start, and the included minutes at its cycle's start.
//!
//! It must never be empty: there is always a version in force.

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::plan::{Catalog, Plan};
use crate::domain::ids::PlanId;

/// The number of an accepted version: 1, 2, 3 in order of acceptance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CatalogVersion(pub i32);

impl fmt::Display for CatalogVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// An accepted version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionedCatalog {
    /// Its number.
    pub version: CatalogVersion,
    /// When it takes effect: as the file says, or at its acceptance.
    pub effective_at: DateTime<Utc>,
    /// Its content.
    pub catalog: Arc<Catalog>,
}

/// All accepted versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogHistory {
    /// The first version, then the others in order of (`effective_at`, `version`).
    in_order: Vec<VersionedCatalog>,
    /// The place of the version with the highest number.
    latest: usize,
}

impl CatalogHistory {
    /// Takes the versions in any order. The one with the lowest number is the first: it is in force
    /// from the beginning of time, whatever its `effective_at` (docs/charging.md, "What pays").
    ///
    /// # Errors
    /// [`CatalogHistoryError`] if there is none, or two have the same number.
    pub fn new(mut versions: Vec<VersionedCatalog>) -> Result<Self, CatalogHistoryError> {
        versions.sort_unstable_by_key(|entry| entry.version);
        let twice = versions.windows(2).find(|pair| pair[0].version == pair[1].version);
        if let Some(pair) = twice {
            return Err(CatalogHistoryError::Twice { version: pair[0].version });
        }
        let (first, others) = versions.split_first_mut().ok_or(CatalogHistoryError::Empty)?;
        let greatest = others.last().map_or(first.version, |last| last.version);
        others.sort_unstable_by_key(|entry| (entry.effective_at, entry.version));
        let latest = versions.iter().position(|entry| entry.version == greatest).unwrap_or(0);
        Ok(Self { in_order: versions, latest })
    }

    /// Returns the version in force at a given time: the one that took effect last, and of several
    /// the one accepted last.
    pub fn at(&self, at: DateTime<Utc>) -> &VersionedCatalog {
        &self.in_order[self.place_at(at)]
    }

    /// Returns a plan as of a given time. The version in force may lack it: a subscription was
    /// backdated to before the plan existed, or the plan was dropped before the call. Then it is
    /// the plan of the earliest later version that has it, else of the latest earlier one. `None`
    /// if no version has it.
    pub fn plan_at(&self, plan: &PlanId, at: DateTime<Utc>) -> Option<(CatalogVersion, &Plan)> {
        let (earlier, from_here_on) = self.in_order.split_at(self.place_at(at));
        let mut candidates = from_here_on.iter().chain(earlier.iter().rev());
        candidates.find_map(|entry| Some((entry.version, entry.catalog.plans.get(plan)?)))
    }

    /// Returns the version accepted last, whether or not it is in effect yet.
    pub fn latest(&self) -> &VersionedCatalog {
        &self.in_order[self.latest]
    }

    /// Returns all versions: the first, then the others in the order they take effect.
    pub fn iter(&self) -> std::slice::Iter<'_, VersionedCatalog> {
        self.in_order.iter()
    }

    fn place_at(&self, at: DateTime<Utc>) -> usize {
        self.in_order[1..].partition_point(|entry| entry.effective_at <= at)
    }
}

impl<'a> IntoIterator for &'a CatalogHistory {
    type Item = &'a VersionedCatalog;
    type IntoIter = std::slice::Iter<'a, VersionedCatalog>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Why versions form no history.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CatalogHistoryError {
    /// No catalog was ever accepted.
    #[error("there is no catalog version")]
    Empty,
    /// Two versions have the same number.
    #[error("catalog version {version} comes twice")]
    Twice {
        /// The number.
        version: CatalogVersion,
    },
}
