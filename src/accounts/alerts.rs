//! Sets the alert thresholds of an account.

use callmeter_core::domain::{AccountId, Money};
use serde_json::json;
use sqlx::PgConnection;

use super::UnknownAccount;
use crate::change::{Affected, Change};
use crate::ledger::audit::{self, Action, AuditEntry, By};
use crate::ledger::{Refusable, accounts, alerts};

/// Most thresholds of an account.
pub const THRESHOLDS_MAX: usize = 20;

/// Replaces all thresholds.
#[derive(Clone, Debug)]
pub struct SetAlerts {
    /// The account.
    pub account: AccountId,
    /// Zero or more each, distinct; none clears them.
    pub thresholds: Vec<Money>,
}

impl Change for SetAlerts {
    type Done = Vec<Money>;
    type Refusal = UnknownAccount;
    const NAME: &'static str = "accounts::set_alerts";

    async fn apply(
        &self,
        connection: &mut PgConnection,
        by: &By,
    ) -> Refusable<Vec<Money>, UnknownAccount> {
        let Some(head) = accounts::lock(connection, &self.account).await? else {
            return Ok(Err(UnknownAccount));
        };
        let before = alerts::find(connection, head.account_key).await?;
        // Also if nothing seems to change: from now on the defaults do not count.
        alerts::set(connection, head.account_key, &self.thresholds).await?;
        let entry = AuditEntry {
            action: Action::AlertsChanged,
            account_key: Some(head.account_key),
            subject: self.account.to_string(),
            before: json!({ "thresholds": before }),
            after: json!({ "thresholds": self.thresholds }),
        };
        audit::note(connection, by, &entry).await?;
        Ok(Ok(self.thresholds.clone()))
    }

    fn affects(&self, _: Option<&Vec<Money>>) -> Affected {
        // Authorizations know nothing of them.
        Affected::nothing()
    }
}
