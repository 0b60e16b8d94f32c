//! How auto-refill stands.

use callmeter_core::domain::{Money, RefillStatus};
use callmeter_core::policy::auto_refill::{
    AutoRefillDecision, AutoRefillFacts, AutoRefillLimits, RefillSize, decide, month_of,
};
use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use sqlx::PgConnection;

use crate::json::{AutoRefillJson, AutoRefillState};
use crate::ledger::LedgerError;
use crate::ledger::payments::auto_refills::{self, AutoRefill};

/// How long an automatic refill waits for the customer.
const ACTION_MAX: TimeDelta = TimeDelta::hours(24);

/// Reads auto-refill of an account as it is shown.
///
/// # Errors
/// If Postgres fails, or holds a value that cannot be read.
pub(crate) async fn view(
    connection: &mut PgConnection,
    account_key: i32,
    limits: &AutoRefillLimits,
    now: DateTime<Utc>,
) -> Result<AutoRefillJson, LedgerError> {
    let found = auto_refills::find(connection, account_key).await?;
    let balance = auto_refills::balance(connection, account_key).await?;
    let retry_at = found.as_ref().and_then(|found| found.retry_at);
    let (facts, waits) = auto_refills::facts(
        connection,
        account_key,
        (balance, retry_at),
        first_of_month(now),
        limits.burst,
        now,
    )
    .await?;
    let Some(found) = found else {
        return Ok(AutoRefillJson {
            enabled: false,
            threshold: None,
            amount: None,
            target: None,
            monthly_cap: None,
            payment_method: None,
            state: AutoRefillState::Off,
            until: None,
            reason: None,
            refilled_this_month: facts.this_month,
        });
    };
    let (state, until) = state_of(&found, limits, &facts, waits, now);
    let (amount, target) = match found.terms.size {
        RefillSize::Amount(amount) => (Some(amount), None),
        RefillSize::Target(target) => (None, Some(target)),
    };
    Ok(AutoRefillJson {
        enabled: found.is_enabled,
        threshold: Some(found.terms.threshold),
        amount,
        target,
        monthly_cap: found.terms.monthly_cap,
        payment_method: found.payment_method.map(|id| id.to_string()),
        state,
        until,
        reason: found.off_reason,
        refilled_this_month: facts.this_month,
    })
}

fn state_of(
    found: &AutoRefill,
    limits: &AutoRefillLimits,
    facts: &AutoRefillFacts,
    waits: Option<(RefillStatus, DateTime<Utc>)>,
    now: DateTime<Utc>,
) -> (AutoRefillState, Option<DateTime<Utc>>) {
    if !found.is_enabled {
        return (AutoRefillState::Off, None);
    }
    match waits {
        Some((RefillStatus::RequiresAction, begun_at)) => {
            return (AutoRefillState::ActionNeeded, Some(begun_at + ACTION_MAX));
        }
        Some(_) => return (AutoRefillState::InFlight, None),
        None => {}
    }
    // As if it were needed now: the state says what would come of it.
    let needed =
        AutoRefillFacts { balance: facts.balance.min(below(found.terms.threshold)), ..*facts };
    match decide(&found.terms, limits, &needed, now) {
        AutoRefillDecision::BackingOff(until) => (AutoRefillState::BackingOff, Some(until)),
        AutoRefillDecision::Capped(until) => (AutoRefillState::Capped, Some(until)),
        _ => (AutoRefillState::Ready, None),
    }
}

fn below(threshold: Money) -> Money {
    Money::from_micros(threshold.micros().saturating_sub(1))
}

/// The first instant of a time's UTC month.
pub(super) fn first_of_month(now: DateTime<Utc>) -> DateTime<Utc> {
    month_of(now).and_time(NaiveTime::MIN).and_utc()
}
