//! Sets or removes the monthly budget of an account.

use callmeter_core::domain::AccountId;
use callmeter_core::policy::budget::Budget;
use serde_json::{Value, json};
use sqlx::PgConnection;

use super::UnknownAccount;
use crate::change::{Affected, Change};
use crate::ledger::audit::{self, Action, AuditEntry, By};
use crate::ledger::watched::Watched;
use crate::ledger::{Refusable, accounts, budgets};

/// Most percents that an account is warned at.
pub const PERCENTS_MAX: usize = 20;
/// The highest percent.
pub const PERCENT_MAX: i16 = 1_000;

/// Replaces the budget.
#[derive(Clone, Debug)]
pub struct SetBudget {
    /// The account.
    pub account: AccountId,
    /// `None` removes it.
    pub budget: Option<Budget>,
}

impl Change for SetBudget {
    type Done = Watched;
    type Refusal = UnknownAccount;
    const NAME: &'static str = "accounts::set_budget";

    async fn apply(
        &self,
        connection: &mut PgConnection,
        by: &By,
    ) -> Refusable<Watched, UnknownAccount> {
        let Some(mut head) = accounts::lock(connection, &self.account).await? else {
            return Ok(Err(UnknownAccount));
        };
        if head.watched.budget == self.budget {
            by.changed_nothing();
            return Ok(Ok(head.watched));
        }
        let before = audited(head.watched.budget.as_ref());
        budgets::set(connection, &mut head, self.budget.as_ref(), by.at).await?;
        let entry = AuditEntry {
            action: Action::BudgetChanged,
            account_key: Some(head.account_key),
            subject: self.account.to_string(),
            before,
            after: audited(self.budget.as_ref()),
        };
        audit::note(connection, by, &entry).await?;
        Ok(Ok(head.watched))
    }

    fn affects(&self, _: Option<&Watched>) -> Affected {
        Affected::account(&self.account)
    }
}

fn audited(budget: Option<&Budget>) -> Value {
    budget.map_or(Value::Null, |Budget { monthly, warn_at_percent, stop }| {
        json!({ "monthly": monthly, "warn_at_percent": warn_at_percent, "stop": stop })
    })
}
