//! The wallet as shown on its page and by `GET …/wallet`.

use callmeter_core::domain::{
    CatalogHistory, Money, PlanId, WalletState, available, low_threshold, wallet_state,
};
use callmeter_core::rating::{Terms, terms_at};
use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::balance::{CycleRef, Held, HeldSource};
use crate::ledger::LedgerError;
use crate::ledger::overview::Overview;

/// A wallet at one point in time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the words of docs/charging.md")]
pub struct WalletView {
    pub balance: Money,
    pub held: Money,
    pub available: Money,
    pub credit_limit: Money,
    pub state: WalletState,
    pub currency: &'static str,
    pub allowance: Option<AllowanceView>,
    /// Source of the held amount: `live`, or `journal` while Redis does not know the account.
    pub held_source: HeldSource,
    pub as_of: DateTime<Utc>,
}

/// The allowance of the current cycle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the words of docs/charging.md")]
pub struct AllowanceView {
    pub plan: PlanId,
    pub cycle_start: DateTime<Utc>,
    pub cycle_end: DateTime<Utc>,
    pub included_seconds: u64,
    pub used_seconds: u64,
    pub held_seconds: u64,
    pub remaining_seconds: u64,
}

/// Computes the view from the ledger and the holds of calls in progress.
///
/// # Errors
/// `Unreadable` if a plan is in no catalog, or the sums are out of range.
pub(super) fn view(
    overview: &Overview,
    held: &Held,
    catalogs: Option<&CatalogHistory>,
    low_balance_threshold: Money,
    now: DateTime<Utc>,
) -> Result<WalletView, LedgerError> {
    let allowance = match catalogs {
        Some(catalogs) => allowance(overview, held, catalogs, now)?,
        None => None,
    };
    let unreadable = |error| LedgerError::unreadable("a wallet", error);
    let total = held.money.checked_add(overview.reserved).unwrap_or(held.money);
    let available =
        available(overview.balance, overview.credit_limit, total).map_err(unreadable)?;
    let low_below = low_threshold(&overview.alert_levels, low_balance_threshold);
    let remaining = allowance.as_ref().map_or(0, |allowance| allowance.remaining_seconds);
    Ok(WalletView {
        balance: overview.balance,
        held: total,
        available,
        credit_limit: overview.credit_limit,
        state: wallet_state(overview.status, remaining, available, low_below),
        currency: "USD",
        allowance,
        held_source: held.source,
        as_of: now,
    })
}

fn allowance(
    overview: &Overview,
    held: &Held,
    catalogs: &CatalogHistory,
    now: DateTime<Utc>,
) -> Result<Option<AllowanceView>, LedgerError> {
    let terms = terms_at(catalogs, &overview.timeline, now)
        .map_err(|error| LedgerError::unreadable("a subscription", error))?;
    let Terms::Plan { plan, subscription, cycle, included_seconds, .. } = terms else {
        return Ok(None);
    };
    let held_seconds = held.seconds_of(CycleRef { subscription, start: cycle.start });
    let used_seconds = overview.used_seconds(subscription, cycle.start);
    Ok(Some(AllowanceView {
        plan: plan.id.clone(),
        cycle_start: cycle.start,
        cycle_end: cycle.end,
        included_seconds,
        used_seconds,
        held_seconds,
        remaining_seconds: terms.allowance_left(used_seconds.saturating_add(held_seconds)),
    }))
}
