//! Proves the ledger's invariants on one snapshot of Postgres, while the service runs.
//!
//! Beside the flow. It reads what the ledger wrote and computes it again in other ways: chains and
//! sums in SQL, and every charge rated again from its evidence by the pure core.
//!
//! It must never write, take a lock that a charge waits for, or hold the whole ledger in memory.

mod drift;
mod invariants;
mod rerate;

pub use drift::{drift, publish_drift};
pub use invariants::{INVARIANTS, Invariant};

use callmeter_core::domain::{CatalogError, CatalogHistoryError, Money};
use serde::Serialize;
use sqlx::PgConnection;

use crate::ledger::store::{Begin, Store, StoreError};

/// Violations shown per invariant.
pub const VIOLATIONS_SHOWN_MAX: usize = 20;

/// Why nothing could be proven.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// Postgres is unavailable.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A stored catalog cannot be read, so nothing can be rated again.
    #[error("stored catalog version {version} cannot be read")]
    Catalog {
        /// The version.
        version: i32,
        /// The error.
        source: CatalogError,
    },
    /// The stored catalogs form no valid history.
    #[error("the stored catalogs make no history")]
    History(#[from] CatalogHistoryError),
}

impl From<sqlx::Error> for VerifyError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// The result for one invariant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Its name.
    pub name: &'static str,
    /// Its statement.
    pub sentence: &'static str,
    /// The first violations, as sentences; empty: it holds.
    pub violations: Vec<String>,
    /// True if there are more.
    pub more: bool,
}

/// The checked rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Extent {
    /// Accounts.
    pub accounts: i64,
    /// Transactions.
    pub transactions: i64,
    /// Charges, each rated again.
    pub charges: u64,
}

/// The result: a proof, or the violations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// True if every invariant holds.
    pub holds: bool,
    /// The checked rows.
    pub extent: Extent,
    /// Sum over the wallets of the difference between balance and transactions.
    pub drift: Money,
    /// Every invariant.
    pub invariants: Vec<Finding>,
}

/// Collects violations by invariant.
struct Findings(Vec<Finding>);

impl Findings {
    fn new() -> Self {
        let empty = |invariant: &Invariant| Finding {
            name: invariant.name,
            sentence: invariant.sentence,
            violations: Vec::new(),
            more: false,
        };
        Self(INVARIANTS.iter().map(empty).collect())
    }

    fn add(&mut self, name: &str, violation: String) {
        let finding = self.0.iter_mut().find(|finding| finding.name == name);
        let finding = finding.expect("every check reports a listed invariant");
        if finding.violations.len() < VIOLATIONS_SHOWN_MAX {
            finding.violations.push(violation);
        } else {
            finding.more = true;
        }
    }
}

/// Checks every invariant on one snapshot.
///
/// # Errors
/// If Postgres is unavailable, or a stored catalog cannot be read. A violated invariant is no
/// error: it is in the report.
pub async fn verify(store: &Store) -> Result<Report, VerifyError> {
    let mut reserved = store.for_transaction().await?;
    let mut snapshot = reserved.begin(Begin::Snapshot).await?;
    begin_snapshot(&mut snapshot).await?;
    let report = examine(&mut snapshot).await?;
    snapshot.rollback().await?;
    Ok(report)
}

/// Checks every invariant in the snapshot of `connection`'s transaction; the caller ends it.
///
/// # Errors
/// As [`verify`].
pub async fn examine(connection: &mut PgConnection) -> Result<Report, VerifyError> {
    let mut findings = Findings::new();
    for query in invariants::QUERIES {
        let broken: Vec<(String, Option<String>)> =
            sqlx::query_as(query).fetch_all(&mut *connection).await?;
        for (name, violation) in broken {
            findings
                .add(&name, violation.unwrap_or_else(|| "a row without its account".to_owned()));
        }
    }
    let charges = rerate::rerate(connection, &mut findings).await?;
    let drift = drift::measure(connection).await?;
    let (accounts, transactions) = sqlx::query_as(
        "-- verify: extent
        SELECT (SELECT count(*) FROM accounts), (SELECT count(*) FROM transactions)",
    )
    .fetch_one(&mut *connection)
    .await?;
    let invariants = findings.0;
    Ok(Report {
        holds: invariants.iter().all(|finding| finding.violations.is_empty()),
        extent: Extent { accounts, transactions, charges },
        drift,
        invariants,
    })
}

/// Allows long statements.
async fn begin_snapshot(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(
        "-- verify: begin_snapshot
        SET LOCAL statement_timeout = 0;
        SET LOCAL idle_in_transaction_session_timeout = 0;
        -- Sorts of millions of rows; what does not fit goes to disk.
        SET LOCAL work_mem = '64MB';
        -- The cursor is read to its end.
        SET LOCAL cursor_tuple_fraction = 1.0;",
    )
    .execute(connection)
    .await?;
    Ok(())
}
