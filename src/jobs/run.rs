//! Finds jobs that are due and runs each in one process at a time.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures::future::BoxFuture;
use serde_json::Value;

use super::lock::JobLock;
use super::record::{self, JobRecord};
use crate::clock::{Clock, beat};
use crate::ledger::store::{Store, StoreError};
use crate::metrics::{JOB_LAST_SUCCESS_TIMESTAMP, JOB_RUNS};
use crate::telemetry::one_line;

/// Time between two checks for due jobs, or a job's period if that is shorter.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// A failed run is retried after this time, or after its period if that is shorter.
const RETRY_AFTER: TimeDelta = TimeDelta::minutes(5);
/// Most characters kept of an error.
const ERROR_CHARACTERS_MAX: usize = 500;

/// Why a run failed. The text must contain no secret and no phone number.
pub type JobError = Box<dyn std::error::Error + Send + Sync>;

/// Starts one run of a job.
pub type Run = Box<dyn Fn() -> BoxFuture<'static, Result<Value, JobError>> + Send + Sync>;

/// Work that is due after a period, counted from start to start, never at a time of day. A new job
/// is due at once.
pub struct Job {
    /// Its name, in the table and in metrics.
    pub name: &'static str,
    /// Time from the start of one run to the next.
    pub period: TimeDelta,
    /// Runs the job; returns its report. None: the job is turned off, and its record is deleted.
    pub run: Option<Run>,
    /// Publishes the last report: every process does, whichever ran the job.
    pub show: fn(&Value),
}

impl std::fmt::Debug for Job {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Job").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Runs each job when it is due. Never ends while a job is turned on.
pub async fn run_all(store: Store, clock: Clock, jobs: Vec<Job>) {
    let loops = jobs.iter().map(|job| run_one(&store, &clock, job));
    futures::future::join_all(loops).await;
}

async fn run_one(store: &Store, clock: &Clock, job: &Job) {
    loop {
        let looked = match &job.run {
            Some(run) => look(store, clock, job, run).await,
            None => record::delete(store, job.name).await,
        };
        match looked {
            Ok(()) if job.run.is_none() => return,
            Ok(()) => {}
            // Postgres is unreachable: `/readyz` reports it.
            Err(error) if error.is_transient() => tracing::debug!(%error, "a job waits"),
            Err(error) => {
                tracing::warn!(job = job.name, error = one_line(&error), "the job waits");
            }
        }
        let period = job.period.to_std().unwrap_or(LOOK_EVERY);
        beat(LOOK_EVERY.min(period)).await;
    }
}

/// Runs the job if it is due and no other process runs it; shows its state.
async fn look(store: &Store, clock: &Clock, job: &Job, run: &Run) -> Result<(), StoreError> {
    let mut record = read(store, job).await?;
    if is_due(record.as_ref(), clock.now())
        && let Some(lock) = JobLock::take(store, job.name).await?
    {
        // Another process may have run it between the check and the lock.
        if is_due(read(store, job).await?.as_ref(), clock.now()) {
            run_once(store, clock, job, run, lock).await?;
        }
        record = read(store, job).await?;
    }
    if let Some(at) = record.as_ref().and_then(|record| record.last_succeeded_at) {
        let seconds = u32::try_from(at.timestamp()).unwrap_or_default();
        metrics::gauge!(JOB_LAST_SUCCESS_TIMESTAMP, "job" => job.name).set(f64::from(seconds));
    }
    if let Some(report) = record.and_then(|record| record.report) {
        (job.show)(&report);
    }
    Ok(())
}

async fn read(store: &Store, job: &Job) -> Result<Option<JobRecord>, StoreError> {
    record::read(&mut *store.read().await?, job.name).await
}

fn is_due(record: Option<&JobRecord>, now: DateTime<Utc>) -> bool {
    record.is_none_or(|record| record.next_at <= now)
}

/// Runs a job whose lock is held, and notes its outcome.
async fn run_once(
    store: &Store,
    clock: &Clock,
    job: &Job,
    run: &Run,
    lock: JobLock,
) -> Result<(), StoreError> {
    let started_at = clock.now();
    record::started(store, job.name, started_at).await?;
    let ran = lock.hold(run()).await;
    let ran = ran.unwrap_or_else(|| Err("the lock was lost: postgres went away".into()));
    match ran {
        Ok(report) => {
            metrics::counter!(JOB_RUNS, "job" => job.name, "outcome" => "succeeded").increment(1);
            let next_at = started_at + job.period;
            record::succeeded(store, job.name, started_at, next_at, &report).await
        }
        Err(error) => {
            metrics::counter!(JOB_RUNS, "job" => job.name, "outcome" => "failed").increment(1);
            let error: String =
                one_line(error.as_ref()).chars().take(ERROR_CHARACTERS_MAX).collect();
            tracing::warn!(job = job.name, error, "the job failed; it is retried soon");
            let now = clock.now();
            let next_at = now + RETRY_AFTER.min(job.period);
            record::failed(store, job.name, now, next_at, &error).await
        }
    }
}
