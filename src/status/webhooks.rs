//! Web hooks and mails that wait, and receivers that do not take them.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use sqlx::PgConnection;

use super::Problem;
use crate::ledger::store::StoreError;
use crate::ledger::{mail, webhooks};

/// A delivery is tried within a second of its time: one that waits longer needs an operator.
const OVERDUE: TimeDelta = TimeDelta::minutes(5);

/// A mail is sent within seconds: one that waits longer needs an operator.
const MAIL_OVERDUE: TimeDelta = TimeDelta::minutes(10);

/// Web hooks and mails to customers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct WebhookStatus {
    /// Deliveries that wait for their first or next attempt.
    pub waiting: i64,
    /// Those that nobody tried in time, of endpoints that take others.
    pub overdue: i64,
    /// Active endpoints whose last attempt failed.
    pub failing: i64,
    /// Disabled endpoints.
    pub disabled: i64,
    /// Mails that wait.
    pub mails: i64,
}

/// Reads the state of web hooks. A receiver that fails is its owner's affair, who sees it and is
/// told when it is disabled; an operator is needed if nobody posts.
pub(super) async fn read(
    connection: &mut PgConnection,
    now: DateTime<Utc>,
    problems: &mut Vec<Problem>,
) -> Result<WebhookStatus, StoreError> {
    let waiting = webhooks::waiting(connection, now - OVERDUE).await?;
    if waiting.overdue > 0 {
        problems.push(Problem {
            what: format!("{} web hooks were not posted in time", waiting.overdue),
            help: "`callmeter serve --role jobs` posts them; docs/runbook.md, *Web hooks wait*"
                .to_owned(),
        });
    }
    let mails = mail::waiting(connection).await?;
    if let Some(oldest) = mails.oldest_at.filter(|oldest| now - *oldest > MAIL_OVERDUE) {
        let (count, error) = (mails.mails, mails.error.unwrap_or_default());
        problems.push(Problem {
            what: format!("{count} mails wait, the oldest since {oldest}: {error}"),
            help: "docs/runbook.md, *Mails wait*".to_owned(),
        });
    }
    Ok(WebhookStatus {
        waiting: waiting.deliveries,
        overdue: waiting.overdue,
        failing: waiting.failing,
        disabled: waiting.disabled,
        mails: mails.mails,
    })
}
