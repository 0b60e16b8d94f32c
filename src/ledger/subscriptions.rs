//! Timelines of plans: read whole, extended one row at a time.

use callmeter_core::domain::{
    AccountId, CatalogHistory, CatalogVersion, PlanId, Subscription, SubscriptionId,
    SubscriptionTimeline,
};
use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::{PgConnection, Row};

use super::accounts;
use super::audit::{self, Action, AuditEntry, By};
use super::catalogs::{self, Purpose};
use super::error::{LedgerError, Refusable};
use super::wallets;

/// The result of a change of plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubscriptionChanged {
    /// It was written.
    Changed(Subscription),
    /// The plan was in force at that time already.
    Unchanged,
}

/// Why an account's plan is not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotSubscribed {
    /// There is no such account.
    UnknownAccount,
    /// A catalog in force at some time of the subscription lacks the plan.
    UnknownPlan {
        /// The first such catalog; `None`: no catalog was accepted yet.
        version: Option<CatalogVersion>,
    },
}

/// Sets the account's plan, or none, effective from `starts_at` until its next entry.
///
/// Applies to calls that are committed afterwards; nothing is rated again.
///
/// # Errors
/// If Postgres fails, or holds a value that cannot be read.
pub async fn change(
    connection: &mut PgConnection,
    id: &AccountId,
    plan: Option<&PlanId>,
    starts_at: DateTime<Utc>,
    by: &By,
) -> Refusable<SubscriptionChanged, NotSubscribed> {
    catalogs::lock(connection, Purpose::Subscribe).await?;
    let Some(mut head) = accounts::lock(connection, id).await? else {
        return Ok(Err(NotSubscribed::UnknownAccount));
    };
    let timeline = timeline(connection, head.account_key).await?;
    if !timeline.change_needed(plan, starts_at) {
        by.changed_nothing();
        return Ok(Ok(SubscriptionChanged::Unchanged));
    }
    let in_force = timeline.entry_at(starts_at);
    let entry = AuditEntry {
        action: Action::SubscriptionChanged,
        account_key: Some(head.account_key),
        subject: id.to_string(),
        before: json!({
            "plan": in_force.and_then(|entry| entry.plan.as_ref()),
            "starts_at": in_force.map(|entry| entry.starts_at),
        }),
        after: json!({ "plan": plan, "starts_at": starts_at }),
    };
    if let Some(plan) = plan {
        let ends_at = timeline.iter().map(|entry| entry.starts_at).find(|at| *at > starts_at);
        let history = catalogs::load_history(connection).await?;
        let Some(history) = history else {
            return Ok(Err(NotSubscribed::UnknownPlan { version: None }));
        };
        // Calls before now are rated by the catalog of their time, or by the next one with the
        // plan.
        let lacking = first_lacking(&history, plan, starts_at.max(by.at), ends_at);
        if let Some(version) = lacking {
            return Ok(Err(NotSubscribed::UnknownPlan { version: Some(version) }));
        }
    }
    let subscription_id: i64 = sqlx::query_scalar(
        "-- subscriptions::change
         INSERT INTO subscriptions (account_key, plan, starts_at, created_at)
         VALUES ($1, $2, $3, $4) RETURNING subscription_id",
    )
    .bind(head.account_key)
    .bind(plan.map(PlanId::as_str))
    .bind(starts_at)
    .bind(by.at)
    .fetch_one(&mut *connection)
    .await?;
    wallets::raise_version(connection, &mut head).await?;
    audit::note(connection, by, &entry).await?;
    let id = SubscriptionId(subscription_id);
    Ok(Ok(SubscriptionChanged::Changed(Subscription { id, plan: plan.cloned(), starts_at })))
}

/// Reads the timeline of one account.
///
/// # Errors
/// `Unreadable` if a plan's id cannot be read.
pub async fn timeline(
    connection: &mut PgConnection,
    account_key: i32,
) -> Result<SubscriptionTimeline, LedgerError> {
    let rows = sqlx::query(
        "-- subscriptions::timeline
         SELECT subscription_id, plan, starts_at FROM subscriptions WHERE account_key = $1",
    )
    .bind(account_key)
    .fetch_all(connection)
    .await?;
    let mut entries = Vec::with_capacity(rows.len());
    for row in rows {
        entries.push(entry(
            row.try_get("subscription_id")?,
            row.try_get("plan")?,
            row.try_get("starts_at")?,
        )?);
    }
    Ok(SubscriptionTimeline::new(entries))
}

/// Builds one entry of a timeline from its columns.
///
/// # Errors
/// `Unreadable` if the plan's id cannot be read.
pub(super) fn entry(
    subscription_id: i64,
    plan: Option<&str>,
    starts_at: DateTime<Utc>,
) -> Result<Subscription, LedgerError> {
    let plan = plan.map(PlanId::parse).transpose();
    let plan = plan.map_err(|error| LedgerError::unreadable("a subscription's plan", error))?;
    Ok(Subscription { id: SubscriptionId(subscription_id), plan, starts_at })
}

/// The first catalog version in force between `from` and `until` that lacks a plan.
fn first_lacking(
    history: &CatalogHistory,
    plan: &PlanId,
    from: DateTime<Utc>,
    until: Option<DateTime<Utc>>,
) -> Option<CatalogVersion> {
    let starts = history.iter().map(|entry| entry.effective_at);
    let later = starts.filter(|at| *at > from && until.is_none_or(|until| *at < until));
    let in_force = std::iter::once(from).chain(later).map(|at| history.at(at));
    in_force.into_iter().find(|entry| !entry.catalog.plans.contains_key(plan)).map(|e| e.version)
}
