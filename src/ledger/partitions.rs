//! The monthly partitions of `charges`, created before a batch needs them.

use std::collections::HashSet;
use std::sync::Mutex;

use chrono::{DateTime, Datelike, Months, Utc};

use super::store::{Store, StoreError};

/// The name of a month's partition, as `ensure_charges_partition` creates it.
pub(super) fn name_of((year, month): (i32, u32)) -> String {
    format!("charges_{year:04}_{month:02}")
}

/// Remembers which months have a partition. Partitions are never dropped while serving, but a
/// restored backup may lack one.
#[derive(Debug, Default)]
pub(super) struct Partitions {
    known: Mutex<HashSet<(i32, u32)>>,
}

impl Partitions {
    /// Creates the missing partitions for the month of `instant` and the next one.
    pub(super) async fn ensure(
        &self,
        store: &Store,
        instant: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let month = (instant.year(), instant.month());
        if self.is_known(month) {
            return Ok(());
        }
        for instant in [Some(instant), instant.checked_add_months(Months::new(1))] {
            let statement = "/* partitions::ensure */ SELECT ensure_charges_partition($1)";
            store.execute("partitions::ensure", || sqlx::query(statement).bind(instant)).await?;
        }
        self.lock().insert(month);
        Ok(())
    }

    /// Forgets which partitions exist.
    pub(super) fn forget(&self) {
        self.lock().clear();
    }

    fn is_known(&self, month: (i32, u32)) -> bool {
        self.lock().contains(&month)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashSet<(i32, u32)>> {
        self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
