//! Sets an account's plan, or ends its subscription, effective from a given time.

use callmeter_core::domain::{AccountId, PlanId};
use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::change::{Affected, Change};
use crate::ledger::Refusable;
use crate::ledger::audit::By;
use crate::ledger::subscriptions::{self, NotSubscribed, SubscriptionChanged};

/// The new plan of an account.
#[derive(Clone, Debug)]
pub struct Subscribe {
    /// The account.
    pub account: AccountId,
    /// The plan; `None` ends the subscription.
    pub plan: Option<PlanId>,
    /// Start of the plan; it may be in the past.
    pub starts_at: DateTime<Utc>,
}

impl Change for Subscribe {
    type Done = SubscriptionChanged;
    type Refusal = NotSubscribed;
    const NAME: &'static str = "subscriptions::change";

    async fn apply(
        &self,
        connection: &mut PgConnection,
        by: &By,
    ) -> Refusable<SubscriptionChanged, NotSubscribed> {
        let Self { account, plan, starts_at } = self;
        subscriptions::change(connection, account, plan.as_ref(), *starts_at, by).await
    }

    fn affects(&self, _: Option<&SubscriptionChanged>) -> Affected {
        Affected::account(&self.account)
    }
}
