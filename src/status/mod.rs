//! The service's state, from outside of it: Postgres compared with Kafka, everything that could not
//! be charged or paid, and for each problem the command that helps.
//!
//! It only reads, and works while the service does not run.

mod numbers;
mod payments;
mod stalls;
mod webhooks;

use std::collections::HashMap;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use serde::Serialize;
use sqlx::PgConnection;

pub use numbers::NumberStatus;
pub use payments::PaymentStatus;
pub use webhooks::WebhookStatus;

use crate::ingest::client::TopicPartition;
use crate::ingest::partition::Watermarks;
use crate::ledger::offsets::{self, StoredOffset};
use crate::ledger::rejects;
use crate::ledger::store::{Store, StoreError};
use crate::{jobs, ledger, sweep};

/// The logs of the topics that are read.
#[derive(Clone, Debug, Default)]
pub struct Logs {
    /// The cluster.
    pub cluster_id: String,
    /// Topic, partition and the ends of its log.
    pub partitions: Vec<(String, i32, Watermarks)>,
    /// Topics that do not exist.
    pub missing: Vec<String>,
    /// Per partition the first offset whose record is no older than `stall_max`.
    pub young_from: HashMap<TopicPartition, i64>,
}

/// One partition, from Postgres and Kafka.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PartitionStatus {
    /// Topic.
    pub topic: String,
    /// Partition, from 0.
    pub partition: i32,
    /// First offset not yet charged; none if it was never read.
    pub next_offset: Option<i64>,
    /// First offset that Kafka still has.
    pub low: Option<i64>,
    /// First offset that Kafka does not have yet.
    pub high: Option<i64>,
    /// Records not yet charged.
    pub lag: Option<i64>,
    /// Charged records whose status events are not noted as applied to holds; the note is up to a
    /// second late.
    pub signals_lag: Option<i64>,
    /// Kafka timestamp of the record charged last.
    pub last_record_at: Option<DateTime<Utc>>,
    /// Whether it is halted until an operator decides.
    pub halted: bool,
    /// Since when it makes no progress though records wait; none below `kafka.stall_seconds`.
    pub stalled_since: Option<DateTime<Utc>>,
}

/// Open rejects of one reason: neither replayed nor closed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RejectStatus {
    /// The reason.
    pub reason: String,
    /// How many.
    pub records: i64,
    /// Time of the oldest.
    pub oldest_at: DateTime<Utc>,
}

/// Rents that could not be paid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct RentalStatus {
    /// Retried daily.
    pub failed: i64,
    /// Of these, those whose next attempt is overdue.
    pub overdue: i64,
    /// Of these, those whose last attempt could not be made at all.
    pub refused: i64,
    /// The oldest next attempt.
    pub oldest_due_at: Option<DateTime<Utc>>,
    /// No longer retried.
    pub given_up: i64,
}

/// The state of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct JobStatus {
    /// The job.
    pub name: String,
    /// Start of its last successful run; none if there was none.
    pub last_succeeded_at: Option<DateTime<Utc>>,
    /// When it is due.
    pub next_at: DateTime<Utc>,
    /// Why its last run failed; none if it succeeded.
    pub last_error: Option<String>,
}

/// A problem that needs an operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// What is wrong.
    pub what: String,
    /// The command that helps.
    pub help: String,
}

/// The whole status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// By topic and partition.
    pub partitions: Vec<PartitionStatus>,
    /// By reason.
    pub rejects: Vec<RejectStatus>,
    /// Rents.
    pub rentals: RentalStatus,
    /// Payments by card.
    pub payments: PaymentStatus,
    /// Numbers.
    pub numbers: NumberStatus,
    /// Web hooks to customers.
    pub webhooks: WebhookStatus,
    /// Jobs that ran and are turned on, by name.
    pub jobs: Vec<JobStatus>,
    /// Expired holds whose calls wait to be looked up at Twilio.
    pub expired_holds: i64,
    /// Problems that need an operator; none if all is well.
    pub problems: Vec<Problem>,
}

/// Seconds after which an attempt that was due counts as overdue.
const OVERDUE_SECONDS: i32 = 300;
/// Seconds after which a job that was due counts as late.
const JOB_LATE_SECONDS: i64 = 900;
/// Most Twilio accounts that failed to sweep, and rents that cannot be tried, that are named.
const FAILING_MAX: i64 = 20;

/// Reads the ledger and compares it with `logs`, or says why Kafka could not be reached. Records
/// may wait for `stall_max`.
///
/// # Errors
/// If Postgres cannot be reached.
pub async fn status(
    store: &Store,
    logs: Result<Logs, String>,
    stall_max: TimeDelta,
    now: DateTime<Utc>,
) -> Result<Status, StoreError> {
    let mut connection = store.read().await?;
    let stored = offsets::list(&mut connection).await?;
    let kept = ledger::stalls::list(&mut connection).await?;
    let rentals = read_rentals(&mut connection, now).await?;
    let mut problems = Vec::new();
    tell_refused_rents(&mut connection, &mut problems).await?;
    let payments = payments::read(&mut connection, now, &mut problems).await?;
    let numbers = numbers::read(&mut connection, now, &mut problems).await?;
    let webhooks = webhooks::read(&mut connection, now, &mut problems).await?;
    let jobs = read_jobs(&mut connection, now, &mut problems).await?;
    let (expired_holds, _) =
        sweep::overdue_holds(&mut connection, DateTime::<Utc>::MAX_UTC).await?;
    drop(connection);
    let totals = rejects::totals(store).await?.into_iter();
    let rejects: Vec<RejectStatus> = totals
        .map(|total| RejectStatus {
            reason: total.reason,
            records: total.records,
            oldest_at: total.oldest_at,
        })
        .collect();
    let young_from = logs.as_ref().map(|logs| logs.young_from.clone()).unwrap_or_default();
    let mut partitions = compare(&stored, logs, &mut problems);
    let waiting = stalls::Waiting {
        kept: &kept,
        young_from: &young_from,
        stored: &stored,
        patience: stall_max,
    };
    stalls::tell(&mut partitions, &waiting, now, &mut problems);
    for reject in &rejects {
        problems.push(Problem {
            what: format!("{} records rejected as {}", reject.records, reject.reason),
            help: help_with(&reject.reason).to_owned(),
        });
    }
    if rentals.overdue > 0 {
        problems.push(Problem {
            what: format!("{} unpaid rents were not tried again in time", rentals.overdue),
            help: "`callmeter serve --role meter` tries them; is it running?".to_owned(),
        });
    }
    Ok(Status {
        partitions,
        rejects,
        rentals,
        payments,
        numbers,
        webhooks,
        jobs,
        expired_holds,
        problems,
    })
}

/// Reads the jobs, and reports those that are late or fail.
async fn read_jobs(
    connection: &mut PgConnection,
    now: DateTime<Utc>,
    problems: &mut Vec<Problem>,
) -> Result<Vec<JobStatus>, StoreError> {
    let mut statuses = Vec::new();
    for job in jobs::list(connection).await? {
        let name = &job.name;
        let last = job.last_succeeded_at.map_or_else(|| "never".to_owned(), |at| at.to_string());
        if now - job.next_at > TimeDelta::seconds(JOB_LATE_SECONDS) {
            problems.push(Problem {
                what: format!("job {name} is late; it ended well last: {last}"),
                help: "`callmeter serve --role jobs` does it; is it running?".to_owned(),
            });
        } else if let Some(error) = &job.last_error {
            problems.push(Problem {
                what: format!("job {name} failed ({error}); it ended well last: {last}"),
                help: format!(
                    "it is tried again by itself; docs/runbook.md, *The job {name} fails*"
                ),
            });
        }
        statuses.push(JobStatus {
            name: job.name,
            last_succeeded_at: job.last_succeeded_at,
            next_at: job.next_at,
            last_error: job.last_error,
        });
    }
    for failing in sweep::failing(connection, FAILING_MAX).await? {
        let sweep::Failing { twilio_account_sid: sid, failing_since, last_error } = failing;
        problems.push(Problem {
            what: format!("{sid} was not swept since {failing_since}: {last_error}"),
            help: "where its token is wrong: `callmeter account token`".to_owned(),
        });
    }
    Ok(statuses)
}

async fn read_rentals(
    connection: &mut PgConnection,
    now: DateTime<Utc>,
) -> Result<RentalStatus, StoreError> {
    let rentals = sqlx::query_as(
        "-- status::read_rentals
         SELECT count(*) FILTER (WHERE status = 'failed') AS failed,
             count(*) FILTER (WHERE next_attempt_at < $1 - make_interval(secs => $2)) AS overdue,
             count(*) FILTER (WHERE last_error IS NOT NULL) AS refused,
             min(next_attempt_at) AS oldest_due_at,
             count(*) FILTER (WHERE status = 'given_up') AS given_up
         FROM rental_periods WHERE status <> 'paid'",
    )
    .bind(now)
    .bind(f64::from(OVERDUE_SECONDS))
    .fetch_one(connection)
    .await?;
    Ok(rentals)
}

/// Reports the rents that cannot even be tried.
async fn tell_refused_rents(
    connection: &mut PgConnection,
    problems: &mut Vec<Problem>,
) -> Result<(), StoreError> {
    let refused: Vec<(String, NaiveDate, String)> = sqlx::query_as(
        "-- status::tell_refused_rents
         SELECT phone_number_sid, period_start, last_error FROM rental_periods
         WHERE last_error IS NOT NULL ORDER BY period_start, phone_number_sid LIMIT $1",
    )
    .bind(FAILING_MAX)
    .fetch_all(connection)
    .await?;
    problems.extend(refused.into_iter().map(|(sid, start, error)| Problem {
        what: format!("the rent of {sid} from {start} cannot be tried: {error}"),
        help: "it is tried again daily; docs/runbook.md, *A rent is unpaid*".to_owned(),
    }));
    Ok(())
}

fn help_with(reason: &str) -> &'static str {
    match reason {
        "unknown_account" => {
            "make the account, or `callmeter account link` its AccountSid; then \
             `callmeter rejects replay --reason unknown_account`"
        }
        "conflict" => {
            "compare with Twilio (`callmeter rejects list --reason conflict`); an adjustment \
             corrects the charge; then `callmeter rejects close ID --reason`"
        }
        _ => {
            "`callmeter rejects list`, `callmeter rejects show`; then `callmeter rejects replay`, \
             or `callmeter rejects close ID --reason`"
        }
    }
}

/// Joins the stored offsets with the logs, and reports what does not match.
fn compare(
    stored: &[StoredOffset],
    logs: Result<Logs, String>,
    problems: &mut Vec<Problem>,
) -> Vec<PartitionStatus> {
    let logs = match logs {
        Ok(logs) => logs,
        Err(what) => {
            let help = "start Kafka, or correct kafka.brokers".to_owned();
            problems.push(Problem { what, help });
            return stored.iter().map(|stored| known(stored, None)).collect();
        }
    };
    for topic in &logs.missing {
        problems.push(Problem {
            what: format!("topic {topic} does not exist"),
            help: "`callmeter serve` makes it".to_owned(),
        });
    }
    let place = |stored: &StoredOffset| (stored.stream.topic.clone(), stored.stream.partition);
    let mut partitions = Vec::new();
    for (topic, partition, log) in &logs.partitions {
        let found = stored.iter().find(|stored| place(stored) == (topic.clone(), *partition));
        let Some(found) = found else {
            partitions.push(unread(topic, *partition, *log));
            continue;
        };
        let mut status = known(found, Some(*log));
        if let Some(problem) = halted(found, *log, &logs.cluster_id) {
            status.halted = true;
            problems.push(problem);
        }
        partitions.push(status);
    }
    for stored in stored {
        let (topic, partition) = place(stored);
        if !logs.partitions.iter().any(|log| (log.0.as_str(), log.1) == (topic.as_str(), partition))
        {
            partitions.push(known(stored, None));
        }
    }
    partitions.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
    partitions
}

fn known(stored: &StoredOffset, log: Option<Watermarks>) -> PartitionStatus {
    PartitionStatus {
        topic: stored.stream.topic.clone(),
        partition: stored.stream.partition,
        next_offset: Some(stored.next_offset),
        low: log.map(|log| log.low),
        high: log.map(|log| log.high),
        lag: log.map(|log| (log.high - stored.next_offset).max(0)),
        signals_lag: Some(stored.next_offset - stored.signals_offset),
        last_record_at: stored.last_record_at,
        halted: false,
        stalled_since: None,
    }
}

fn unread(topic: &str, partition: i32, log: Watermarks) -> PartitionStatus {
    PartitionStatus {
        topic: topic.to_owned(),
        partition,
        next_offset: None,
        low: Some(log.low),
        high: Some(log.high),
        lag: Some(log.high - log.low),
        signals_lag: None,
        last_record_at: None,
        halted: false,
        stalled_since: None,
    }
}

/// Why the meter halts at a partition: the same rules as its own.
fn halted(stored: &StoredOffset, log: Watermarks, cluster_id: &str) -> Option<Problem> {
    let halt = crate::meter::checkpoint::check(stored, log, cluster_id).err()?;
    let (topic, partition) = (&stored.stream.topic, stored.stream.partition);
    let text = halt.to_string();
    let (what, help) = text.split_once(';').unwrap_or((text.as_str(), "`callmeter offsets set`"));
    Some(Problem {
        what: format!("{topic} {partition} stands still: {what}"),
        help: help.trim().to_owned(),
    })
}
