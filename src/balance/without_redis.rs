//! May this call go ahead, while Redis is away? For accounts whose policy is `fail_open`.
//!
//! Postgres is asked, and nothing is taken from what the process remembers: the account as it is now,
//! the call's hold or its end, and what was granted since Redis answered last. One transaction for each
//! call, one call of an account after the other, so that all processes share one cap. Only where
//! Postgres is away too, each process decides alone, on what it knows.

use std::sync::Arc;
use std::time::Duration;

use callmeter_core::domain::{AccountId, AccountStatus, CallSid, Money};
use chrono::{DateTime, Utc};
use futures::FutureExt as _;
use sqlx::{PgConnection, Row};

use super::authorizer::{Allowance, Decision, Placing};
use super::document::Policy;
use super::error::BalanceError;
use super::fail_open;
use super::hold::Hold;
use super::journal::{self, Change, LateChange};
use super::scripts::Denial;
use super::settings::HoldSettings;
use super::stage::Balance;
use super::terms::CallTerms;
use crate::ledger::accounts::OnRedisLoss;

/// Longest wait for others' calls to be decided.
const TURN_MAX: Duration = Duration::from_secs(1);
/// Longest wait for Postgres before the process decides alone.
const POSTGRES_MAX: Duration = Duration::from_secs(1);
/// First half of the key of an account's lock, so that it meets no other advisory lock: "fail".
const LOCK: i32 = 0x6661_696c;

/// A call, and all that decides about it but what Postgres knows.
#[derive(Clone, Debug)]
struct Asked {
    account: AccountId,
    account_key: i32,
    call_sid: CallSid,
    seconds: u32,
    terms: CallTerms,
    policy: Policy,
    settings: HoldSettings,
    /// When Redis answered last; what was granted without it is counted from there.
    since: i64,
    /// Calls that this process granted since, which it counts itself, and their money.
    own: Vec<String>,
    own_spent: i64,
    now: DateTime<Utc>,
}

/// What Postgres knows of a call and its account.
struct Known {
    standing: Option<Hold>,
    is_over: bool,
    /// Calls in progress, where there is a most.
    holds: i64,
    /// Micro-dollars that others granted since Redis answered last.
    spent: i64,
}

/// What became of a call.
enum Verdict {
    /// It has this hold already.
    Standing(Hold),
    /// It is granted this.
    Granted(Hold),
    /// Nothing can be granted, for this reason.
    Refused(Decision),
}

impl Balance {
    /// Decides while Redis is away, by the account's policy.
    pub(super) async fn without_redis(
        &self,
        placing: &Placing<'_>,
    ) -> Result<Decision, BalanceError> {
        if self.0.fail_open.may_ask_postgres() {
            let turn = tokio::time::timeout(TURN_MAX, self.0.fail_open.turn());
            let Ok(_turn) = turn.await else { return Ok(Decision::Unavailable) };
            let asked = tokio::time::timeout(POSTGRES_MAX, self.by_postgres(placing)).await;
            let answer = match asked {
                Ok(Err(BalanceError::Ledger(error))) if error.is_transient() => None,
                Ok(answer) => Some(answer),
                Err(_) => None,
            };
            self.0.fail_open.asked_postgres(answer.is_some());
            if let Some(answer) = answer {
                return answer;
            }
        }
        self.alone(placing).await
    }

    async fn by_postgres(&self, placing: &Placing<'_>) -> Result<Decision, BalanceError> {
        let Some(document) = self.read_document(&placing.account).await? else {
            return Ok(Decision::NotFound);
        };
        // What Redis granted to this process's callers a moment ago must be found.
        if document.policy.on_redis_loss != OnRedisLoss::FailOpen || !self.0.journal.flush().await {
            return Ok(Decision::Unavailable);
        }
        let since = self.redis_answered_at();
        let own = self.0.fail_open.of(&placing.account, since);
        let asked = Arc::new(Asked {
            account: placing.account.clone(),
            account_key: document.account_key,
            call_sid: placing.call_sid.clone(),
            seconds: placing.seconds,
            terms: self.terms(&document, placing.ends).await?,
            policy: document.policy,
            settings: self.0.settings.clone(),
            since,
            own: own.keys().map(|sid| sid.as_str().to_owned()).collect(),
            own_spent: own.values().map(|hold| hold.money.micros()).sum(),
            now: self.0.clock.now(),
        });
        let verdict = self.0.store.transact("balance::without_redis", |connection| {
            let asked = Arc::clone(&asked);
            async move { decide(connection, &asked).await }.boxed()
        });
        Ok(match verdict.await? {
            Verdict::Standing(hold) => Decision::Allow(Allowance::from(&hold)),
            Verdict::Refused(decision) => decision,
            Verdict::Granted(hold) => {
                let (account, call_sid) = (placing.account.clone(), placing.call_sid.clone());
                self.0.fail_open.keep(&account, &call_sid, &hold, since);
                if let Some(tag) = placing.tag {
                    self.0.journal.tagged(document.account_key, &call_sid, tag);
                }
                let allowance = Allowance::from(&hold);
                self.0.journal.look_after(LateChange { account, call_sid, hold: Some(hold) });
                Decision::Allow(allowance)
            }
        })
    }

    /// Decides on what this process knows: neither Redis nor Postgres answers.
    async fn alone(&self, placing: &Placing<'_>) -> Result<Decision, BalanceError> {
        let Placing { account, call_sid, .. } = placing;
        let Some(document) = self.document(account) else { return Ok(Decision::Unavailable) };
        let policy = &document.policy;
        if policy.on_redis_loss != OnRedisLoss::FailOpen || !self.0.journal.has_room(account) {
            return Ok(Decision::Unavailable);
        }
        let terms = self.terms(&document, placing.ends).await?;
        let (settings, now) = (&self.0.settings, self.0.clock.now());
        let since = self.redis_answered_at();
        let granted = self.0.fail_open.grant(account, call_sid, since, |calls| {
            let holds = i64::try_from(calls.len()).unwrap_or(i64::MAX);
            refusal(policy, &terms, holds).map_or(Ok(()), Err)?;
            let spent = calls.values().map(|hold| hold.money.micros()).sum();
            let left = left(policy, spent);
            fail_open::grant(&terms, placing.seconds, left, settings, now)
                .ok_or(Decision::Unavailable)
        });
        match granted {
            Some(Ok(hold)) => {
                self.0.journal.placed(account, call_sid, &hold, false, placing.asked_at);
                if let Some(tag) = placing.tag {
                    self.0.journal.tagged(document.account_key, call_sid, tag);
                }
                Ok(Decision::Allow(Allowance::from(&hold)))
            }
            Some(Err(decision)) => Ok(decision),
            None => Ok(Decision::Unavailable),
        }
    }
}

/// Decides on what Postgres knows, and journals what is granted, in the caller's transaction.
async fn decide(connection: &mut PgConnection, asked: &Asked) -> Result<Verdict, BalanceError> {
    sqlx::query(
        "-- balance::without_redis, one call of an account after the other
         SELECT pg_advisory_xact_lock($1, $2)",
    )
    .bind(LOCK)
    .bind(asked.account_key)
    .execute(&mut *connection)
    .await?;
    let known = read_known(connection, asked).await?;
    if let Some(hold) = known.standing {
        // The stream's, where the pool had nothing left: nobody had asked, and nothing can be said.
        return Ok(if hold.granted_seconds > 0 {
            Verdict::Standing(hold)
        } else {
            Verdict::Refused(Decision::Unavailable)
        });
    }
    if known.is_over {
        return Ok(Verdict::Refused(denied(Denial::CallAlreadySettled)));
    }
    if let Some(refused) = refusal(&asked.policy, &asked.terms, known.holds) {
        return Ok(Verdict::Refused(refused));
    }
    let left = left(&asked.policy, known.spent.saturating_add(asked.own_spent));
    let Asked { terms, seconds, settings, now, .. } = asked;
    let Some(hold) = fail_open::grant(terms, *seconds, left, settings, *now) else {
        return Ok(Verdict::Refused(Decision::Unavailable));
    };
    let key = (asked.account.clone(), asked.call_sid.clone());
    let asked_at = tokio::time::Instant::now();
    let change = Change { revision: hold.revision, hold: Some(hold.clone()), asked_at };
    let written = journal::write(connection, &[(key, change)], *now).await?;
    // Another process journaled meanwhile what Redis had granted: that is answered when asked again.
    Ok(if written == 1 { Verdict::Granted(hold) } else { Verdict::Refused(Decision::Unavailable) })
}

async fn read_known(connection: &mut PgConnection, asked: &Asked) -> Result<Known, BalanceError> {
    let row = sqlx::query(
        "-- balance::without_redis, what is known
         WITH is_charged AS (
             SELECT EXISTS (
                 SELECT FROM twilio_accounts AS t JOIN call_keys AS k USING (account_key, twilio_account_key)
                 WHERE t.account_key = $1 AND k.call_key = call_key_of($2)) AS it),
         own AS (
             SELECT hold FROM hold_journal WHERE account_key = $1 AND call_sid = $2 AND expires_at > $3)
         SELECT (SELECT hold FROM own WHERE NOT (SELECT it FROM is_charged)) AS standing,
             (SELECT it FROM is_charged) OR EXISTS (SELECT FROM own WHERE hold IS NULL) AS is_over,
             CASE WHEN $4 THEN (
                 SELECT count(*) FROM hold_journal AS j
                 WHERE j.account_key = $1 AND j.hold IS NOT NULL AND j.expires_at > $3 AND NOT EXISTS (
                     SELECT FROM twilio_accounts AS t JOIN call_keys AS k USING (account_key, twilio_account_key)
                     WHERE t.account_key = $1 AND k.call_key = call_key_of(j.call_sid)))
             ELSE 0 END AS holds,
             (SELECT coalesce(sum(split_part(hold, ' ', 4)::bigint), 0)::bigint FROM hold_journal
              WHERE account_key = $1 AND hold IS NOT NULL AND revision > $5 AND call_sid <> ALL ($6)
                AND split_part(hold, ' ', 16) = 'fail_open') AS spent",
    )
    .bind(asked.account_key)
    .bind(asked.call_sid.as_str())
    .bind(asked.now)
    .bind(asked.policy.calls_in_progress_max.is_some())
    .bind(asked.since)
    .bind(&asked.own)
    .fetch_one(connection)
    .await?;
    let standing: Option<String> = row.try_get("standing")?;
    Ok(Known {
        standing: standing.map(|hold| Hold::unpack(&hold)).transpose()?,
        is_over: row.try_get("is_over")?,
        holds: row.try_get("holds")?,
        spent: row.try_get("spent")?,
    })
}

/// Why nothing is granted to a further call, in the order in which `place.lua` asks.
fn refusal(policy: &Policy, terms: &CallTerms, holds: i64) -> Option<Decision> {
    if policy.status != AccountStatus::Open {
        return Some(denied(Denial::AccountClosed));
    }
    if policy.calls_in_progress_max.is_some_and(|most| holds >= i64::from(most)) {
        return Some(denied(Denial::TooManyCalls));
    }
    if terms.is_refused {
        return Some(denied(Denial::DestinationBlocked));
    }
    // What is left of the allowance is not known.
    terms.blocks_overage.then_some(Decision::Unavailable)
}

fn denied(reason: Denial) -> Decision {
    Decision::Deny { reason, shortfall: Money::ZERO }
}

/// What the cap leaves.
fn left(policy: &Policy, spent: i64) -> Money {
    Money::from_micros(policy.redis_loss_cap.micros().saturating_sub(spent))
}
