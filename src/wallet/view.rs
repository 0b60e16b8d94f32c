//! The wallet as its page and `GET …/wallet` show it.

use callmeter_core::domain::{CatalogHistory, Money, PlanId, WalletState, available, wallet_state};
use callmeter_core::rating::{Terms, terms_at};
use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::ledger::LedgerError;
use crate::ledger::overview::Overview;

/// A wallet at one instant.
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

/// Computes what a wallet shows from what the ledger says.
///
/// # Errors
/// `Unreadable` where a plan is in no catalog, or the sums are out of range.
pub fn view(
    overview: &Overview,
    catalogs: Option<&CatalogHistory>,
    low_balance_threshold: Money,
    now: DateTime<Utc>,
) -> Result<WalletView, LedgerError> {
    let allowance = match catalogs {
        Some(catalogs) => allowance(overview, catalogs, now)?,
        None => None,
    };
    // Holds come with authorizations: until then nothing is held.
    let held = Money::ZERO;
    let available = available(overview.balance, overview.credit_limit, held)
        .map_err(|error| LedgerError::unreadable("a wallet", error))?;
    let remaining = allowance.as_ref().map_or(0, |allowance| allowance.remaining_seconds);
    Ok(WalletView {
        balance: overview.balance,
        held,
        available,
        credit_limit: overview.credit_limit,
        state: wallet_state(overview.status, remaining, available, low_balance_threshold),
        currency: "USD",
        allowance,
        as_of: now,
    })
}

fn allowance(
    overview: &Overview,
    catalogs: &CatalogHistory,
    now: DateTime<Utc>,
) -> Result<Option<AllowanceView>, LedgerError> {
    let terms = terms_at(catalogs, &overview.timeline, now)
        .map_err(|error| LedgerError::unreadable("a subscription", error))?;
    let Terms::Plan { plan, subscription, cycle, included_seconds, .. } = terms else {
        return Ok(None);
    };
    let used_seconds = overview.used_seconds(subscription, cycle.start);
    Ok(Some(AllowanceView {
        plan: plan.id.clone(),
        cycle_start: cycle.start,
        cycle_end: cycle.end,
        included_seconds,
        used_seconds,
        held_seconds: 0,
        remaining_seconds: terms.allowance_left(used_seconds),
    }))
}
