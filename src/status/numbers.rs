//! Numbers that wait for a step, and what the daily look at Twilio found.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use sqlx::PgConnection;

use super::Problem;
use crate::jobs;
use crate::ledger::numbers::{self, Open};
use crate::ledger::store::StoreError;
use crate::numbers::{NAME, Report};

/// A purchase ends within a quarter of an hour, a release within seconds: one that is older needs an
/// operator.
const WAITING_MAX: TimeDelta = TimeDelta::minutes(30);
/// A period is published within seconds.
const UNPUBLISHED_MAX: TimeDelta = TimeDelta::minutes(10);

/// Numbers that wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct NumberStatus {
    /// Not bought yet.
    pub pending: i64,
    /// The oldest of them.
    pub oldest_pending_at: Option<DateTime<Utc>>,
    /// To be given back to Twilio.
    pub releasing: i64,
    /// Unpaid for too long.
    pub suspended: i64,
    /// Active ones whose next period was not published in time.
    pub overdue: i64,
    /// Types that cost more at Twilio than in the catalog, as last compared.
    pub underpriced: usize,
}

/// Reads the state of numbers, and reports what needs an operator.
pub(super) async fn read(
    connection: &mut PgConnection,
    now: DateTime<Utc>,
    problems: &mut Vec<Problem>,
) -> Result<NumberStatus, StoreError> {
    let open = numbers::open(&mut *connection, now - UNPUBLISHED_MAX).await?;
    let job = jobs::read(connection, NAME).await?;
    let report = job.and_then(|job| job.report).and_then(|it| serde_json::from_value(it).ok());
    let report: Report = report.unwrap_or_default();
    tell_waiting(&open, now, problems);
    for price in &report.underpriced {
        let (country, kind) = (&price.country, price.number_type);
        problems.push(Problem {
            what: format!(
                "a {kind} number in {country} costs {} a month, and {} at Twilio",
                price.ours, price.twilio
            ),
            help: "raise it in the catalog; docs/runbook.md, *A number costs more than it brings*"
                .to_owned(),
        });
    }
    if report.unknown + report.missing > 0 {
        problems.push(Problem {
            what: format!(
                "{} numbers are only at Twilio, {} only in the ledger",
                report.unknown, report.missing
            ),
            help: "`callmeter recover --since …`; docs/runbook.md, *Numbers are astray*".to_owned(),
        });
    }
    Ok(NumberStatus {
        pending: open.pending,
        oldest_pending_at: open.oldest_pending_at,
        releasing: open.releasing,
        suspended: open.suspended,
        overdue: open.overdue,
        underpriced: report.underpriced.len(),
    })
}

fn tell_waiting(open: &Open, now: DateTime<Utc>, problems: &mut Vec<Problem>) {
    let is_old = |at: &DateTime<Utc>| now - *at > WAITING_MAX;
    let mut tell = |what: String, help: &str| {
        problems.push(Problem { what, help: help.to_owned() });
    };
    if let Some(oldest) = open.oldest_pending_at.filter(is_old) {
        tell(
            format!("{} purchases of numbers wait, the oldest since {oldest}", open.pending),
            "`callmeter number list --status pending`; docs/runbook.md, *A purchase stays pending*",
        );
    }
    if let Some(oldest) = open.oldest_releasing_at.filter(is_old) {
        tell(
            format!("{} releases of numbers wait, the oldest since {oldest}", open.releasing),
            "`callmeter number list --status releasing`; docs/runbook.md, *A purchase stays pending*",
        );
    }
    if open.suspended > 0 {
        tell(
            format!("{} numbers are suspended: their rent is not paid", open.suspended),
            "`callmeter number release`; docs/runbook.md, *A number is suspended*",
        );
    }
    if open.overdue > 0 {
        tell(
            format!("the periods of {} numbers were not published in time", open.overdue),
            "`callmeter serve --role jobs` publishes them; is it running, and Kafka?",
        );
    }
}
