//! Refills that wait, payments that fit none of them, and events that wait to be published.

use callmeter_core::domain::Money;
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use sqlx::PgConnection;

use super::Problem;
use crate::ledger::outbox;
use crate::ledger::payments::recovery::{self, Required};
use crate::ledger::payments::unmatched;
use crate::ledger::store::StoreError;
use crate::notify::KAFKA;
use crate::payments::{EndpointCheck, STRIPE_CHECK, StripeCheck};
use crate::{books, jobs};

/// A pending refill is looked up every few seconds: one that is older than this needs an operator.
const PENDING_MAX: TimeDelta = TimeDelta::minutes(30);

/// An event is published within a second: one that waits longer needs an operator.
const UNPUBLISHED_MAX: TimeDelta = TimeDelta::minutes(5);

/// Refills that wait, payments that fit none of them, and events that wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PaymentStatus {
    /// Refills whose outcome is not known, or that the bank has not answered.
    pub pending: i64,
    /// Refills that wait for the customer.
    pub waiting: i64,
    /// Time of the oldest pending refill.
    pub oldest_pending_at: Option<DateTime<Utc>>,
    /// Payments that fit no refill and that nobody has resolved.
    pub unmatched: i64,
    /// Events that wait to be published to Kafka.
    pub unpublished: i64,
    /// Refunds to cards that are not finished.
    pub refunds: i64,
    /// Open differences between Stripe's books and ours, as last compared.
    pub differences: i64,
}

/// Reads the state of payments, and reports what needs an operator.
pub(super) async fn read(
    connection: &mut PgConnection,
    now: DateTime<Utc>,
    problems: &mut Vec<Problem>,
) -> Result<PaymentStatus, StoreError> {
    let (pending, waiting, oldest_pending_at) = sqlx::query_as(
        "/* status::payments */
         SELECT count(*) FILTER (WHERE status = 'pending'),
             count(*) FILTER (WHERE status <> 'pending'),
             min(created_at) FILTER (WHERE status = 'pending')
         FROM refills WHERE finished_at IS NULL",
    )
    .fetch_one(&mut *connection)
    .await?;
    let unmatched = unmatched::count_open(&mut *connection).await?;
    if let Some(required) = recovery::required(&mut *connection).await? {
        let Required { since, reason } = required;
        problems.push(Problem {
            what: format!("refills wait since {since}: the ledger may lack payments ({reason})"),
            help: "`callmeter recover --since …`; docs/runbook.md, *Refills wait for a recovery*"
                .to_owned(),
        });
    }
    let (refunds, old_refunds, disputes): (i64, i64, i64) = sqlx::query_as(
        "/* status::payments, money back */
         SELECT (SELECT count(*) FROM refunds WHERE finished_at IS NULL),
             (SELECT count(*) FROM refunds
                 WHERE finished_at IS NULL AND debit_sequence IS NULL AND created_at < $1),
             (SELECT count(*) FROM disputes WHERE needs_operator)",
    )
    .bind(now - PENDING_MAX)
    .fetch_one(&mut *connection)
    .await?;
    if old_refunds > 0 {
        problems.push(Problem {
            what: format!("{old_refunds} refunds to cards are pending for more than 30 minutes"),
            help: "docs/runbook.md, *Refunds stay pending*".to_owned(),
        });
    }
    if disputes > 0 {
        problems.push(Problem {
            what: format!("{disputes} disputes moved money that is not in USD"),
            help: "docs/runbook.md, *A dispute needs an operator*".to_owned(),
        });
    }
    let events = outbox::waiting(&mut *connection, KAFKA).await?;
    let unpublished = events.events;
    if let Some(oldest) = events.oldest_at.filter(|oldest| now - *oldest > UNPUBLISHED_MAX) {
        problems.push(Problem {
            what: format!("{unpublished} events wait to be published, the oldest since {oldest}"),
            help: "docs/runbook.md, *Events wait*".to_owned(),
        });
    }
    tell_endpoint(&mut *connection, problems).await?;
    let open = books::open(connection).await?;
    let differences = open.differences;
    let status = PaymentStatus {
        pending,
        waiting,
        oldest_pending_at,
        unmatched,
        unpublished,
        refunds,
        differences,
    };
    if let Some(oldest) = status.oldest_pending_at.filter(|oldest| now - *oldest > PENDING_MAX) {
        problems.push(Problem {
            what: format!("{pending} refills are pending, the oldest since {oldest}"),
            help: "`callmeter refill show`; docs/runbook.md, *Refills stay pending*".to_owned(),
        });
    }
    if unmatched > 0 {
        problems.push(Problem {
            what: format!("{unmatched} payments fit none of our refills; they are not credited"),
            help: "docs/runbook.md, *A payment fits no refill*".to_owned(),
        });
    }
    if differences > 0 {
        let drift = Money::from_micros(open.drift_micros);
        problems.push(Problem {
            what: format!("{differences} differences from Stripe's books, {drift} USD together"),
            help: "`callmeter reconcile stripe`; docs/runbook.md, *Money differs from Stripe's*"
                .to_owned(),
        });
    }
    Ok(status)
}

/// Reports what is wrong with the endpoint of Stripe's web hooks, as last checked.
async fn tell_endpoint(
    connection: &mut PgConnection,
    problems: &mut Vec<Problem>,
) -> Result<(), StoreError> {
    let job = jobs::read(connection, STRIPE_CHECK).await?;
    let check = job.and_then(|job| serde_json::from_value::<StripeCheck>(job.report?).ok());
    let Some(EndpointCheck { url, faults, .. }) = check.and_then(|check| check.endpoint) else {
        return Ok(());
    };
    if !faults.is_empty() {
        problems.push(Problem {
            what: format!("Stripe's endpoint for {url}: {}", faults.join("; ")),
            help: "`callmeter stripe endpoint check`; docs/runbook.md, *Stripe's events do not \
                   arrive*"
                .to_owned(),
        });
    }
    Ok(())
}
