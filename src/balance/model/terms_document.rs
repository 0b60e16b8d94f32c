//! The account's document: what Rust needs of an account to compute a call's terms.
//!
//! It lies beside the wallet in Redis, under a revision that is its digest. A process may keep it:
//! every place sends the revision along, and the script returns the present document if that is
//! another one. So no process can use terms that another process has changed.

use callmeter_core::domain::{
    AccountStatus, CatalogVersion, Money, PlanId, Subscription, SubscriptionId,
    SubscriptionTimeline,
};
use chrono::DateTime;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::error::BalanceError;
use crate::ledger::accounts::OnRedisLoss;

/// What authorizations need of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Internal key.
    pub account_key: i32,
    /// Its subscriptions.
    pub timeline: SubscriptionTimeline,
    /// The account's rules for authorizations.
    pub policy: Policy,
    /// The catalog in force when it was written; terms are never computed from an older one.
    pub catalog_version: CatalogVersion,
    /// The digest of the text.
    pub revision: String,
    /// The text, as Redis has it.
    pub text: String,
}

/// What the account's settings say about a call. `status` and `calls_in_progress_max` always count:
/// `place.lua` reads them in the wallet, `authorize/fallback.rs` here. The other two count only
/// while holds are unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// What authorizations do while holds are unknown.
    pub on_redis_loss: OnRedisLoss,
    /// What `fail_open` may grant meanwhile.
    pub redis_loss_cap: Money,
    /// Open or closed; always counts.
    pub status: AccountStatus,
    /// Most calls in progress; always counts.
    pub calls_in_progress_max: Option<i32>,
}

#[derive(Deserialize, Serialize)]
struct Written {
    account_key: i32,
    on_redis_loss: OnRedisLoss,
    redis_loss_cap_micros: i64,
    status: String,
    calls_in_progress_max: Option<i32>,
    #[serde(default)]
    catalog_version: i32,
    /// Id, plan, start in micro-seconds.
    subscriptions: Vec<(i64, Option<PlanId>, i64)>,
}

impl Document {
    /// Writes the document.
    ///
    /// # Errors
    /// `Unreadable` if it cannot be written as JSON, which happens for no account.
    pub fn write(
        account_key: i32,
        timeline: SubscriptionTimeline,
        policy: Policy,
        catalog_version: CatalogVersion,
    ) -> Result<Self, BalanceError> {
        let subscriptions = timeline
            .iter()
            .map(|entry| (entry.id.0, entry.plan.clone(), entry.starts_at.timestamp_micros()));
        let written = Written {
            account_key,
            on_redis_loss: policy.on_redis_loss,
            redis_loss_cap_micros: policy.redis_loss_cap.micros(),
            status: policy.status.as_str().to_owned(),
            calls_in_progress_max: policy.calls_in_progress_max,
            catalog_version: catalog_version.0,
            subscriptions: subscriptions.collect(),
        };
        let text = serde_json::to_string(&written).map_err(|error| unreadable(&error))?;
        let revision = revision_of(&text);
        Ok(Self { account_key, timeline, policy, catalog_version, revision, text })
    }

    /// Reads a document.
    ///
    /// # Errors
    /// `Unreadable` if the text is no document.
    pub fn read(text: String) -> Result<Self, BalanceError> {
        let written: Written = serde_json::from_str(&text).map_err(|error| unreadable(&error))?;
        let entries = written.subscriptions.into_iter().map(|(id, plan, starts_at)| {
            let starts_at = DateTime::from_timestamp_micros(starts_at)
                .ok_or_else(|| unreadable(&"an instant out of range"))?;
            Ok(Subscription { id: SubscriptionId(id), plan, starts_at })
        });
        let entries: Result<Vec<_>, BalanceError> = entries.collect();
        Ok(Self {
            account_key: written.account_key,
            timeline: SubscriptionTimeline::new(entries?),
            policy: Policy {
                on_redis_loss: written.on_redis_loss,
                redis_loss_cap: Money::from_micros(written.redis_loss_cap_micros),
                status: AccountStatus::parse(&written.status)
                    .map_err(|error| unreadable(&error))?,
                calls_in_progress_max: written.calls_in_progress_max,
            },
            catalog_version: CatalogVersion(written.catalog_version),
            revision: revision_of(&text),
            text,
        })
    }
}

fn revision_of(text: &str) -> String {
    hex::encode(&Sha256::digest(text.as_bytes())[..12])
}

fn unreadable(problem: &dyn std::fmt::Display) -> BalanceError {
    BalanceError::unreadable("an account's document", &problem.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_reads_as_it_was_written() {
        let entry = |id, plan: Option<&str>, starts_at| Subscription {
            id: SubscriptionId(id),
            plan: plan.map(|plan| PlanId::parse(plan).expect("a plan")),
            starts_at: DateTime::from_timestamp_micros(starts_at).expect("an instant"),
        };
        let timeline = SubscriptionTimeline::new(vec![
            entry(2, Some("starter"), 1_700_000_000_000_001),
            entry(5, None, 1_710_000_000_000_000),
        ]);
        let policy = Policy {
            on_redis_loss: OnRedisLoss::FailOpen,
            redis_loss_cap: Money::from_micros(250_000),
            status: AccountStatus::Closed,
            calls_in_progress_max: Some(7),
        };
        let version = CatalogVersion(3);
        let written = Document::write(17, timeline.clone(), policy, version);
        let written = written.expect("a document");
        assert_eq!(Document::read(written.text.clone()).expect("a document"), written);
        let closed = Policy { on_redis_loss: OnRedisLoss::FailClosed, ..policy };
        for (policy, version) in [(closed, version), (policy, CatalogVersion(4))] {
            let other = Document::write(17, timeline.clone(), policy, version);
            assert_ne!(other.expect("a document").revision, written.revision);
        }
    }
}
