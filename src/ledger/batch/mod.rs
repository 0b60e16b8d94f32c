//! `commit_batch`: a batch's charges, balances, allowances, rejected records and the partition's
//! next offset, in one transaction. The hot path of the whole system.
//!
//! | phase | round trips | module |
//! | --- | --- | --- |
//! | lock the wallets of the batch, ordered by account | 1 | `load` |
//! | read subscriptions, used allowances, and which calls and rents are in the ledger already (calls of a large batch only where there is doubt: `trust`) | up to 6 | `load`, `calls` |
//! | price every event in the order of offsets, keep running balances | 0 | `charge`, `rent` |
//! | COPY call keys, charges and transactions; update wallets and cycles set-wise | up to 5 | `write` |
//! | move the offset by compare-and-set, commit | 2 | `write` |
//!
//! Lock order: wallets by account, then rejected conflicts by key, then the partition's offset; a
//! replay moves no offset, and locks the sum of its kind last.
//! Reads come in later statements than the lock, since a lock wait does not refresh the snapshot of
//! its own statement. Every row of a batch's accounts is therefore read as the last holder of the
//! lock left it, and the duplicate check is exact; what is not looked up the primary key of `call_keys`
//! refuses, which is written first.
//!
//! Bounds: a batch is at most what ingest gathered (records and bytes are limited there); nothing
//! here grows with the ledger.

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
use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::audit::By;
use super::catalogs;
use super::offsets::Stream;
use super::partitions::Partitions;
use super::store::{Begin, Store, StoreError};
use crate::ingest::batch::Batch;
use duplicate_check::DuplicateCheck;

/// How often a batch is tried before its conflict with another transaction is given to the caller.
const ATTEMPTS_MAX: u32 = 10;

/// What decides about a charge besides the rules.
#[derive(Clone, Copy, Debug)]
pub struct ChargingPolicy {
    /// What a completed call of 0 seconds is billed.
    pub zero_duration_completed: ZeroDurationCompleted,
    /// Seconds until a rental that could not be paid is tried again.
    pub rental_retry_seconds: u32,
}

/// Where the records of a batch come from, and what moves together with their effects.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// A partition, whose offset moves.
    Partition(&'a Stream),
    /// A rejected record that is tried once more, alone; it is marked where it is charged now.
    Replay {
        /// Topic and partition it came from.
        stream: &'a Stream,
        /// The reject.
        reject_id: i64,
        /// Who asks for it.
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

/// What a batch came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Committed {
    /// What each record of the batch came to, in its order.
    pub outcomes: Vec<Outcome>,
    /// Micro-dollars debited for calls without a subscription.
    pub call_amount: Money,
    /// Micro-dollars debited as overage.
    pub overage_amount: Money,
    /// Micro-dollars debited for rents.
    pub rental_amount: Money,
    /// By how much credit limits were overshot further.
    pub overshoot: Money,
    /// Charges whose `Duration` disagreed with `CallDuration`.
    pub duration_mismatches: u64,
    /// Instants at which the charged calls ended.
    pub ended_at: Vec<DateTime<Utc>>,
    /// The wallets that changed, for their projection.
    pub wallets: Vec<WalletChange>,
}

impl Committed {
    /// All that was taken from wallets. Sums of a batch are for metrics and people: they saturate.
    pub fn debited(&self) -> Money {
        let amounts = [self.call_amount, self.overage_amount, self.rental_amount];
        amounts.into_iter().fold(Money::ZERO, charge::saturating_sum)
    }
}

/// How one batch moved one wallet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalletChange {
    /// Whose wallet.
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
    /// Used seconds of the cycles that the batch drew on.
    pub cycles: Vec<(SubscriptionId, DateTime<Utc>, u64)>,
    /// The calls that were charged.
    pub call_sids: Vec<CallSid>,
}

/// What one record came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A call or a rent is in the ledger now.
    Charged,
    /// A rent could not be paid; it is tried again.
    Unpaid,
    /// It was in the ledger before.
    Duplicate,
    /// It was in the ledger before with other figures; kept.
    Conflict,
    /// A status that costs nothing.
    NotBillable,
    /// Kept, not charged.
    Rejected,
    /// Not ours to charge.
    Skipped,
}

impl Outcome {
    /// Every outcome there is.
    pub const ALL: &[Self] = &[
        Self::Charged,
        Self::Unpaid,
        Self::Duplicate,
        Self::Conflict,
        Self::NotBillable,
        Self::Rejected,
        Self::Skipped,
    ];

    /// The metric's label.
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

/// Why a batch has no effect; it has none at all.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Another consumer moved the partition on: read the stored offset anew.
    #[error("the partition's offset is no longer {expected}")]
    OffsetMoved {
        /// What this batch expected.
        expected: i64,
    },
    /// Postgres: see its kind.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No catalog was ever accepted: `serve` accepts one when it starts.
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
    /// The catalogs as they were read last; their stamp is compared with Postgres in each batch.
    catalogs: catalogs::Cache,
}

impl Charger {
    /// A charger on `store`.
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

    /// What it charges by.
    pub const fn policy(&self) -> &ChargingPolicy {
        &self.policy
    }

    /// Charges a batch in one transaction, together with the offset; `now` is the commit time.
    /// `keep_values` says whether rejected records are kept with their bytes.
    ///
    /// # Errors
    /// The batch had no effect; the error says whether the same batch may be tried again.
    pub async fn commit_batch(
        &self,
        source: Source<'_>,
        batch: &Batch,
        now: DateTime<Utc>,
        keep_values: bool,
    ) -> Result<Committed, CommitError> {
        let mut attempt = 1;
        loop {
            let is_trusted = attempt == 1 && self.trust.covers(source, batch);
            let error = match self.attempt(source, batch, is_trusted, now, keep_values).await {
                Ok(committed) => {
                    if !is_trusted {
                        self.trust.looked_up(&committed);
                    }
                    return Ok(committed);
                }
                Err(error) => error,
            };
            let CommitError::Store(store) = &error else { return Err(error) };
            if is_trusted && matches!(store, StoreError::Conflict(_)) {
                self.trust.lose();
            }
            let is_without_partition = store.is_without_partition();
            if is_without_partition {
                // Postgres went back in time: what it was known to have is to be made again.
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
        is_trusted: bool,
        now: DateTime<Utc>,
        keep_values: bool,
    ) -> Result<Committed, CommitError> {
        self.partitions.ensure(&self.store, now).await?;
        let mut reserved = self.store.for_transaction().await?;
        let mut transaction = reserved.begin(Begin::Batch).await?;
        let snapshot = load::load(&mut transaction, self, batch, is_trusted).await?;
        let mut books =
            charge::Books::new(&snapshot, &self.policy, source, batch, now, keep_values);
        books.enter_all();
        let (rows, committed) = books.close();
        if let Some(last) = rows.charges.iter().map(|row| row.charged_at).max() {
            // A wallet's last row may lie ahead of this machine's clock, in another month.
            self.partitions.ensure(&self.store, last).await?;
        }
        write::write(&mut transaction, source, batch, rows, now).await?;
        if let Source::Replay { reject_id, by, .. } = source {
            replay::note(&mut transaction, by, reject_id, &committed).await?;
        }
        transaction.commit().await.map_err(StoreError::from)?;
        Ok(committed)
    }

    /// The catalogs, as Postgres has them in this transaction.
    async fn catalogs(
        &self,
        connection: &mut PgConnection,
    ) -> Result<Arc<CatalogHistory>, CommitError> {
        let latest = catalogs::latest(connection).await?.ok_or(CommitError::NoCatalog)?;
        Ok(self.catalogs.at(connection, latest).await?)
    }
}
