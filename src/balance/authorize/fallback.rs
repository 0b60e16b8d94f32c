//! Decides whether a call may go ahead while Redis is away, for accounts with the policy
//! `fail_open`.
//!
//! Everything is read from Postgres, nothing from the process's memory: the account's present
//! state, the call's hold or its end, and what was granted since Redis last answered. Each call is
//! one transaction, one call of an account after the other, so that all processes share one cap. If
//! Postgres is away too, there is no decision: the caller decides what to do with the call.

use std::time::Duration;

use callmeter_core::domain::{AccountStatus, Money};
use callmeter_core::rating::{GrantOutcome, GrantTerms, Pool, grant_seconds};
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;

use super::placing::Placing;
use super::{Allowance, Ask, Decision};
use crate::balance::journal::change::{CallChange, Change, Known};
use crate::balance::journal::store as journal;
use crate::balance::model::{
    BalanceError, CallTerms, Denial, Document, GrantedBy, Hold, HoldSource, Policy,
};
use crate::balance::projection::snapshot::Purpose;
use crate::balance::state::Balance;
use crate::ledger::accounts::OnRedisLoss;
use crate::ledger::store::Begin;
use crate::ledger::watched;

/// Longest wait until other calls are decided.
const TURN_MAX: Duration = Duration::from_secs(1);
/// Longest wait for Postgres.
const POSTGRES_MAX: Duration = Duration::from_secs(1);
/// First half of the key of an account's lock, so that it meets no other advisory lock: "fail".
const LOCK: i32 = 0x6661_696c;

/// The decision about a call.
enum Verdict {
    /// It has this hold already.
    Standing(Hold),
    /// It is granted this hold.
    Granted(Hold),
    Denied(Denial),
    /// No decision is possible.
    Unavailable,
}

impl Balance {
    /// Decides while Redis is away, by the account's policy.
    pub(super) async fn without_redis(
        &self,
        placing: &Placing<'_>,
    ) -> Result<Decision, BalanceError> {
        let turn = tokio::time::timeout(TURN_MAX, self.0.fallbacks.acquire());
        let Ok(_turn) = turn.await else { return Ok(Decision::Unavailable) };
        match tokio::time::timeout(POSTGRES_MAX, self.by_postgres(placing)).await {
            Ok(Err(error)) if error.is_of_the_ledger() => Ok(Decision::Unavailable),
            Ok(decision) => decision,
            Err(_) => Ok(Decision::Unavailable),
        }
    }

    async fn by_postgres(&self, placing: &Placing<'_>) -> Result<Decision, BalanceError> {
        let Placing { ask, account, .. } = placing;
        let Some(snapshot) = self.read(account, Purpose::Wallet).await? else {
            return Ok(Decision::NotFound);
        };
        let has_stop = snapshot.budget.is_some();
        let document = self.keep_document(account, snapshot.document);
        let account_key = document.account_key;
        // What Redis granted through this process a moment ago must be in Postgres.
        if document.policy.on_redis_loss != OnRedisLoss::FailOpen || !self.0.journal.flush().await {
            return Ok(Decision::Unavailable);
        }
        let terms = self.terms(&document, ask.parties).await?;
        let mut reserved = self.0.store.for_transaction().await?;
        let mut transaction = reserved.begin(Begin::Usual).await?;
        let verdict = self.decide(&mut transaction, ask, &document, &terms, has_stop).await?;
        transaction.commit().await?;
        Ok(match verdict {
            Verdict::Unavailable => Decision::Unavailable,
            Verdict::Standing(hold) => Decision::Allow(Allowance::from(&hold)),
            Verdict::Denied(reason) => self.deny(placing, account_key, reason, Money::ZERO),
            Verdict::Granted(hold) => {
                self.note_tag(account_key, ask.call_sid, ask.tag);
                let allowance = Allowance::from(&hold);
                let (account, call_sid) = (account.clone(), ask.call_sid.clone());
                let change = Change::Held(hold);
                self.0.journal.look_after(CallChange { account, call_sid, change });
                Decision::Allow(allowance)
            }
        })
    }

    /// Decides from the journal, and journals the grant, in the caller's transaction.
    async fn decide(
        &self,
        connection: &mut PgConnection,
        ask: &Ask<'_>,
        document: &Document,
        terms: &CallTerms,
        has_stop: bool,
    ) -> Result<Verdict, BalanceError> {
        let (account_key, policy, call_sid) =
            (document.account_key, &document.policy, ask.call_sid);
        // Grants without Redis count from its last answer.
        let (since, now) = (self.0.redis.answered_at(), self.0.clock.now());
        sqlx::query(
            "-- balance::without_redis, one call of an account after the other
             SELECT pg_advisory_xact_lock($1, $2)",
        )
        .bind(LOCK)
        .bind(account_key)
        .execute(&mut *connection)
        .await?;
        let counts_holds = policy.calls_in_progress_max.is_some() || has_stop;
        let known =
            journal::known(connection, account_key, call_sid, counts_holds, since, now).await?;
        // After the holds: a call that is charged in between counts in both, never in none.
        let stop = if has_stop {
            watched::find(connection, account_key).await?.budget_stop()
        } else {
            None
        };
        let budget = stop.map(|stop| stop.left_at(now, known.held));
        if let Some(verdict) = refusal(policy, terms, &known, budget) {
            return Ok(verdict);
        }
        let left = policy.redis_loss_cap.micros().saturating_sub(known.spent.micros());
        let money = Money::from_micros(left);
        let hold = match self.grant_without_redis(ask.seconds, terms, money, budget, now) {
            Verdict::Granted(hold) => hold,
            verdict => return Ok(verdict),
        };
        // If another process has just journaled Redis's grant, the next request finds that one.
        let is_granted = journal::grant(connection, account_key, call_sid, &hold, now).await?;
        Ok(if is_granted { Verdict::Granted(hold) } else { Verdict::Unavailable })
    }

    /// Grants from the rest of the cap and of the budget; no decision is possible if the cap pays
    /// nothing. The allowance is not known now, so the whole call is priced.
    fn grant_without_redis(
        &self,
        seconds: u32,
        terms: &CallTerms,
        money: Money,
        budget: Option<Money>,
        now: DateTime<Utc>,
    ) -> Verdict {
        let settings = &self.0.settings;
        let pool = Pool { allowance_seconds: 0, money, budget };
        let grant_terms = GrantTerms { rate: terms.rate, increments: terms.increments };
        let granted = grant_seconds(pool, grant_terms, seconds, settings.granted_seconds_max);
        let grant = match granted {
            GrantOutcome::Granted(grant) => grant,
            GrantOutcome::OverBudget => return Verdict::Denied(Denial::BudgetExceeded),
            GrantOutcome::Refused { .. } => return Verdict::Unavailable,
        };
        let lives = settings.ring_seconds + grant.granted_seconds;
        let valid_until = now + TimeDelta::seconds(lives.into());
        Verdict::Granted(Hold {
            revision: now.timestamp_micros(),
            granted_seconds: grant.granted_seconds,
            is_final: grant.is_final,
            money: grant.hold,
            allowance_seconds: 0,
            cycle: None,
            included_seconds: 0,
            rate: terms.rate,
            increments: terms.increments,
            blocks_overage: false,
            placed_at: now,
            valid_until,
            expires_at: valid_until + TimeDelta::seconds(settings.grace_seconds.into()),
            source: HoldSource::Authorize,
            granted_by: GrantedBy::Postgres,
        })
    }
}

/// Why nothing more is granted, checked in the order of `place.lua`. `budget` is what is left of it.
fn refusal(
    policy: &Policy,
    terms: &CallTerms,
    known: &Known,
    budget: Option<Money>,
) -> Option<Verdict> {
    let is_over_budget = budget.is_some_and(|left| !left.is_positive());
    let is_full = policy.calls_in_progress_max.is_some_and(|most| known.holds >= i64::from(most));
    Some(match &known.standing {
        Some(hold) if hold.granted_seconds > 0 => Verdict::Standing(hold.clone()),
        // A hold of the stream that got nothing from the pool: no caller asked for it.
        Some(_) => Verdict::Unavailable,
        None if known.has_ended => Verdict::Denied(Denial::CallAlreadySettled),
        None if policy.status != AccountStatus::Open => Verdict::Denied(Denial::AccountClosed),
        None if is_full => Verdict::Denied(Denial::TooManyCalls),
        None if terms.is_destination_blocked => Verdict::Denied(Denial::DestinationBlocked),
        None if is_over_budget => Verdict::Denied(Denial::BudgetExceeded),
        // How much allowance is left is not known.
        None if terms.blocks_overage => Verdict::Unavailable,
        None => return None,
    })
}
