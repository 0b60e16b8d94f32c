//! `commit_batch`: a batch's charges, balances, allowances, rejected records and the partition's
//! next offset, in one transaction. The hot path of the whole system.
//!
//! | phase | round trips | module |
//! | --- | --- | --- |
//! | lock the wallets of the batch, ordered by account | 1 | `load` |
//! | read subscriptions, used allowances, and which calls and rents are charged already (calls of a large batch only after a duplicate: `duplicate_check`) | up to 6 | `load`, `calls` |
//! | price every event in the order of offsets, keep running balances | 0 | `charge`, `rent` |
//! | COPY call keys, charges and transactions; update wallets and cycles set-wise | up to 5 | `write` |
//! | move the offset by compare-and-set, commit | 2 | `write` |
//!
//! Lock order: wallets by account, then rejected conflicts by key, then the partition's offset. A
//! replay moves no offset; it locks the sum of its kind last.
//!
//! The reads are later statements than the lock, because a lock wait does not refresh the snapshot
//! of its own statement. So every row of the batch's accounts is read as the last holder of the
//! lock left it, and the duplicate check is exact. Calls that are not looked up are refused by the
//! primary key of `call_keys`, which is written first.
//!
//! Bounds: ingest limits the records and bytes of a batch; nothing here grows with the ledger.

mod calls;
mod change;
mod charge;
mod duplicate_check;
mod load;
mod owner;
mod rent;
mod replay;
mod rows;
mod write;

use std::sync::Arc;

use callmeter_core::domain::catalog::CatalogHistory;
use callmeter_core::domain::ids::{AccountId, CallSid};
use callmeter_core::domain::increments::ZeroDurationCompleted;
use callmeter_core::domain::money::Money;
use callmeter_core::domain::subscription::SubscriptionId;
use callmeter_core::policy::budget::BudgetStop;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::audit::By;
use super::catalogs;
use super::frozen;
use super::offsets::Stream;
use super::partitions::Partitions;
use super::store::{Begin, Store, StoreError};
use crate::ingest::batch::Batch;
use duplicate_check::DuplicateCheck;

/// Attempts before a conflict with another transaction is returned to the caller.
const ATTEMPTS_MAX: u32 = 10;

/// Settings that decide about charges.
#[derive(Clone, Copy, Debug)]
pub struct ChargingPolicy {
    /// How a completed call of 0 seconds is billed.
    pub zero_duration_completed: ZeroDurationCompleted,
    /// Seconds until an unpaid rental is retried.
    pub rental_retry_seconds: u32,
}

/// Where the records of a batch come from, and what is written with their effects.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// A partition, whose offset moves.
    Partition(&'a Stream),
    /// A rejected record that is replayed alone; marked as replayed if it is settled now.
    Replay {
        /// Its topic and partition.
        stream: &'a Stream,
        /// The reject's number.
        reject_id: i64,
        /// Who replays it.
        by: &'a By,
    },
}

impl Source<'_> {
    fn stream(&self) -> &Stream {
        match self {
            Self::Partition(stream) | Self::Replay { stream, .. } => stream,
        }
    }
}

/// The effect of a batch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Committed {
    /// The outcome of each record, in order.
    pub outcomes: Vec<Outcome>,
    /// Micro-dollars debited for calls without a subscription.
    pub call_amount: Money,
    /// Micro-dollars debited as overage.
    pub overage_amount: Money,
    /// Micro-dollars debited for rents.
    pub rental_amount: Money,
    /// By how much credit limits were overshot further.
    pub overshoot: Money,
    /// Rejects whose bytes Kafka did not have any more.
    pub rejects_without_bytes: u64,
    /// Charges whose `Duration` disagreed with `CallDuration`.
    pub duration_mismatches: u64,
    /// When the charged calls ended.
    pub ended_at: Vec<DateTime<Utc>>,
    /// The changed wallets, for the projection.
    pub wallets: Vec<WalletChange>,
}

impl Committed {
    /// Everything debited. Sums of a batch are for metrics and people: they saturate.
    pub fn debited(&self) -> Money {
        let amounts = [self.call_amount, self.overage_amount, self.rental_amount];
        amounts.into_iter().fold(Money::ZERO, charge::saturating_sum)
    }
}

/// How one batch changed one wallet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalletChange {
    /// The wallet's account.
    pub account: AccountId,
    /// Its version before the batch.
    pub from_version: i64,
    /// Its version after it.
    pub version: i64,
    /// Number of its last charge.
    pub charge_sequence: i64,
    /// Balance.
    pub balance: Money,
    /// Credit limit.
    pub credit_limit: Money,
    /// What is left of a budget that stops calls.
    pub budget: Option<BudgetStop>,
    /// Used seconds of the cycles that the batch used.
    pub cycles: Vec<(SubscriptionId, DateTime<Utc>, u64)>,
    /// The calls that were charged.
    pub call_sids: Vec<CallSid>,
}

/// The outcome of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A call or a rent is charged.
    Charged,
    /// A rent could not be paid; it is retried.
    Unpaid,
    /// Was in the ledger already.
    Duplicate,
    /// Was in the ledger already, with other figures; kept as a reject.
    Conflict,
    /// Its status costs nothing.
    NotBillable,
    /// Kept as a reject, not charged.
    Rejected,
    /// Not ours to charge.
    Skipped,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: &[Self] = &[
        Self::Charged,
        Self::Unpaid,
        Self::Duplicate,
        Self::Conflict,
        Self::NotBillable,
        Self::Rejected,
        Self::Skipped,
    ];

    /// Label of the metric.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Charged => "charged",
            Self::Unpaid => "unpaid",
            Self::Duplicate => "duplicate",
            Self::Conflict => "conflict",
            Self::NotBillable => "not_billable",
            Self::Rejected => "rejected",
            Self::Skipped => "skipped",
        }
    }
}

/// Why a batch failed; it had no effect at all.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Another consumer moved the partition's offset: read it again.
    #[error("the partition's offset is no longer {expected}")]
    OffsetMoved {
        /// What this batch expected.
        expected: i64,
    },
    /// Records are rejected whose bytes the batch has not: read them, attach them, and try again.
    #[error("{} rejected records are still to be read from kafka", offsets.len())]
    BytesNeeded {
        /// Their offsets, rising.
        offsets: Vec<i64>,
    },
    /// An error of Postgres; its kind says what to do.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No catalog was ever accepted; `serve` accepts one when it starts.
    #[error("there is no catalog yet")]
    NoCatalog,
    /// A stored catalog cannot be read: a newer program accepted it.
    #[error(transparent)]
    Catalog(#[from] super::LedgerError),
}

/// Charges batches.
#[derive(Debug)]
pub struct Charger {
    store: Store,
    policy: ChargingPolicy,
    partitions: Partitions,
    trust: DuplicateCheck,
    /// The catalogs as last read; each batch compares their stamp with Postgres.
    catalogs: catalogs::Cache,
}

impl Charger {
    /// Creates a charger on `store`.
    pub fn new(store: Store, policy: ChargingPolicy) -> Self {
        Self {
            store,
            policy,
            partitions: Partitions::default(),
            trust: DuplicateCheck::default(),
            catalogs: catalogs::Cache::default(),
        }
    }

    /// The store it writes to.
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// Its policy.
    pub const fn policy(&self) -> &ChargingPolicy {
        &self.policy
    }

    /// Charges a batch and moves the offset, in one transaction; `now` is the commit time.
    /// `keep_values`: rejected records are kept with their bytes.
    ///
    /// # Errors
    /// The batch had no effect; the error says whether to retry the same batch.
    pub async fn commit_batch(
        &self,
        source: Source<'_>,
        batch: &Batch,
        now: DateTime<Utc>,
        keep_values: bool,
    ) -> Result<Committed, CommitError> {
        let mut attempt = 1;
        loop {
            let skips_duplicate_check = attempt == 1 && self.trust.covers(source, batch);
            let attempted = self.attempt(source, batch, skips_duplicate_check, now, keep_values);
            let error = match frozen::past(self.store.regular(), attempted).await {
                Ok(committed) => {
                    if !skips_duplicate_check {
                        self.trust.looked_up(&committed);
                    }
                    return Ok(committed);
                }
                Err(error) => error,
            };
            let CommitError::Store(store) = &error else { return Err(error) };
            if skips_duplicate_check && matches!(store, StoreError::Conflict(_)) {
                self.trust.lose();
            }
            let is_without_partition = store.is_without_partition();
            if is_without_partition {
                // Postgres went back in time: known partitions may be missing.
                self.partitions.forget();
            }
            if !is_without_partition && !matches!(store, StoreError::Conflict(_)) {
                return Err(error);
            }
            if attempt == ATTEMPTS_MAX {
                return Err(error);
            }
            tracing::debug!(attempt, %error, "batch runs again");
            metrics::counter!(crate::metrics::TRANSACTION_RETRIES, "transaction" => "commit_batch")
                .increment(1);
            attempt += 1;
        }
    }

    async fn attempt(
        &self,
        source: Source<'_>,
        batch: &Batch,
        skips_duplicate_check: bool,
        now: DateTime<Utc>,
        keep_values: bool,
    ) -> Result<Committed, CommitError> {
        self.partitions.ensure(&self.store, now).await?;
        let mut reserved = self.store.for_transaction().await?;
        let mut transaction = reserved.begin(Begin::Batch).await?;
        let snapshot = load::load(&mut transaction, self, batch, skips_duplicate_check).await?;
        let mut books =
            charge::Books::new(&snapshot, &self.policy, source, batch, now, keep_values);
        books.enter_all();
        let closed = books.close();
        let (rows, committed) = closed.map_err(|offsets| CommitError::BytesNeeded { offsets })?;
        if let Some(last) = rows.charges.iter().map(|row| row.charged_at).max() {
            // A wallet's last row may be ahead of this machine's clock, in another month.
            self.partitions.ensure(&self.store, last).await?;
        }
        write::write(&mut transaction, source, batch, rows, now).await?;
        if let Source::Replay { reject_id, by, .. } = source {
            replay::note(&mut transaction, by, reject_id, &committed).await?;
        }
        transaction.commit().await.map_err(StoreError::from)?;
        Ok(committed)
    }

    /// The catalogs as of this transaction.
    async fn catalogs(
        &self,
        connection: &mut PgConnection,
    ) -> Result<Arc<CatalogHistory>, CommitError> {
        let latest = catalogs::latest(connection).await?.ok_or(CommitError::NoCatalog)?;
        Ok(self.catalogs.at(connection, latest).await?)
    }
}
