//! Begins an automatic refill, if the ledger says that it is needed and allowed.

use callmeter_core::domain::{AccountId, AccountStatus, EventType, Money, RefillId, RefillTrigger};
use callmeter_core::policy::auto_refill::{
    AutoRefillDecision, AutoRefillFacts, AutoRefillLimits, decide, month_of,
};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use sqlx::PgConnection;

use super::disable;
use super::view::first_of_month;
use crate::change::{Affected, Change};
use crate::ledger::audit::By;
use crate::ledger::outbox::{self, Fact};
use crate::ledger::payments::auto_refills::{self, AutoRefill};
use crate::ledger::payments::cards;
use crate::ledger::payments::refills::NewRefill;
use crate::ledger::wallets::WalletHead;
use crate::ledger::{Refusable, accounts};
use crate::payments::begin::write_refill;
use crate::payments::limits::{OverLimit, RefillRules, check_limits};
use crate::payments::{PaymentError, Payments};
use crate::telemetry::one_line;

const WHO: &str = "job:auto_refill";
/// Accounts of one round.
const ROUND: i64 = 100;

/// Looks at the balance of an account, and begins an automatic refill if it is needed.
#[derive(Clone, Debug)]
struct BeginAutoRefill {
    account: AccountId,
    id: RefillId,
    limits: AutoRefillLimits,
    rules: RefillRules,
    claimed_for: TimeDelta,
}

/// There is no such account.
#[derive(Clone, Copy, Debug)]
struct UnknownAccount;

impl Change for BeginAutoRefill {
    type Done = Option<RefillId>;
    type Refusal = UnknownAccount;
    const NAME: &'static str = "payments::begin_auto_refill";

    async fn apply(
        &self,
        connection: &mut PgConnection,
        by: &By,
    ) -> Refusable<Option<RefillId>, UnknownAccount> {
        let Some(mut head) = accounts::lock(connection, &self.account).await? else {
            return Ok(Err(UnknownAccount));
        };
        let account_key = head.account_key;
        let (account, set) = (
            accounts::find(connection, &self.account).await?,
            auto_refills::find(connection, account_key).await?,
        );
        let (Some(account), Some(set)) = (account, set) else { return Ok(Err(UnknownAccount)) };
        by.changed_nothing();
        let is_on = set.is_enabled && account.status == AccountStatus::Open;
        let decision = if is_on {
            self.decide(connection, &head, &set, by.at).await?
        } else {
            AutoRefillDecision::Enough
        };
        let amount = match decision {
            AutoRefillDecision::Refill(amount) => amount,
            AutoRefillDecision::Enough | AutoRefillDecision::InFlight => {
                auto_refills::look_again(connection, account_key, None).await?;
                return Ok(Ok(None));
            }
            AutoRefillDecision::BackingOff(until) => {
                auto_refills::look_again(connection, account_key, Some(until)).await?;
                return Ok(Ok(None));
            }
            AutoRefillDecision::Capped(until) => {
                auto_refills::look_again(connection, account_key, Some(until)).await?;
                let month = month_of(by.at);
                if auto_refills::note_capped(connection, account_key, month).await? {
                    let cap = set.terms.monthly_cap;
                    let data = json!({ "reason": "monthly_cap", "monthly_cap": cap, "until": until, "decline": null });
                    let (kind, data) = (EventType::AutoRefillCapped, Some(data));
                    let fact = Fact { account_key, kind, at: by.at, sequence: None, data };
                    outbox::add(connection, &[fact]).await?;
                }
                return Ok(Ok(None));
            }
        };
        let saved = cards::list(connection, account_key).await?;
        let card = saved.into_iter().find(|card| match &set.payment_method {
            Some(named) => card.id == *named,
            None => card.is_default,
        });
        let Some(card) = card else {
            disable(connection, account_key, "no_payment_method", Value::Null, by.at).await?;
            return Ok(Ok(None));
        };
        auto_refills::look_again(connection, account_key, None).await?;
        let new = NewRefill {
            id: self.id.clone(),
            account_key,
            trigger: RefillTrigger::Auto,
            amount,
            pending_sequence: 0,
            payment_method: Some((card.id, card.face)),
            saves_card: false,
            return_url: None,
            receipt_email: account.email,
            request: None,
            created_at: by.at,
            claimed_until: by.at + self.claimed_for,
        };
        write_refill(connection, &mut head, new, by).await?;
        Ok(Ok(Some(self.id.clone())))
    }

    fn affects(&self, done: Option<&Option<RefillId>>) -> Affected {
        match done {
            Some(Some(_)) => Affected::account(&self.account),
            _ => Affected::nothing(),
        }
    }
}

impl BeginAutoRefill {
    async fn decide(
        &self,
        connection: &mut PgConnection,
        head: &WalletHead,
        set: &AutoRefill,
        now: DateTime<Utc>,
    ) -> Result<AutoRefillDecision, crate::ledger::LedgerError> {
        let facts = self.facts(connection, head, set, now).await?;
        let decision = decide(&set.terms, &self.limits, &facts, now);
        let AutoRefillDecision::Refill(amount) = decision else { return Ok(decision) };
        // The limits of refills hold for automatic ones too.
        let refused = check_limits(connection, head.account_key, &self.rules, amount, now).await?;
        Ok(match refused {
            None => decision,
            Some(OverLimit::DailyMax { .. }) => {
                let midnight = (now + TimeDelta::days(1)).date_naive();
                let midnight = midnight.and_time(chrono::NaiveTime::MIN).and_utc();
                AutoRefillDecision::BackingOff(midnight)
            }
            Some(_) => AutoRefillDecision::BackingOff(now + self.limits.backoff),
        })
    }

    async fn facts(
        &self,
        connection: &mut PgConnection,
        head: &WalletHead,
        set: &AutoRefill,
        now: DateTime<Utc>,
    ) -> Result<AutoRefillFacts, crate::ledger::LedgerError> {
        let balance: (Money, _) = (head.balance, set.retry_at);
        let (month, burst) = (first_of_month(now), self.limits.burst);
        let key = head.account_key;
        Ok(auto_refills::facts(connection, key, balance, month, burst, now).await?.0)
    }
}

impl Payments {
    /// Looks at every account that is due, and begins the refills that are needed; returns them.
    /// Bring each forward with [`Self::advance`].
    ///
    /// # Errors
    /// If the ledger cannot be read. An error about one account does not stop the others.
    pub async fn begin_auto_refills(&self) -> Result<Vec<RefillId>, PaymentError> {
        if self.account_is_ours.get() == Some(&false) {
            return Ok(Vec::new());
        }
        if let Err(PaymentError::RecoveryNeeded) = self.check_recovery().await {
            return Ok(Vec::new());
        }
        let now = self.clock.now();
        let due = auto_refills::due(&mut *self.store.read().await?, now, ROUND).await?;
        let mut begun = Vec::new();
        for account in due {
            let change = BeginAutoRefill {
                account: account.clone(),
                id: RefillId::from_random(rand::random()),
                limits: self.settings.auto_limits,
                rules: self.settings.rules,
                claimed_for: self.claim_time(),
            };
            match self.changes.run(change, By::new(WHO, self.clock.now())).await {
                Ok(Ok(refill)) => begun.extend(refill),
                Ok(Err(UnknownAccount)) => {}
                Err(error) => {
                    let error = one_line(&error);
                    tracing::warn!(%account, error, "an automatic refill waits");
                }
            }
        }
        Ok(begun)
    }

    /// Brings an automatic refill forward, once it was begun.
    ///
    /// # Errors
    /// As [`Self::advance`].
    pub async fn advance_auto_refill(&self, id: &RefillId) -> Result<(), PaymentError> {
        self.advance(id, WHO, self.deadline()).await.map(|_| ())
    }
}
