//! An account's wallet at one point in time: what is available, and its state.
//!
//! Place in the flow: the ledger computes overshoot with it, the wallet page and alerts the state,
//! authorization what is available.
//!
//! It must never decide whether a call is charged: a completed call always is.

use super::money::{Money, MoneyError};
use super::named::named_enum;

named_enum! {
    /// Whether an account takes new calls.
    #[derive(Default)]
    pub enum AccountStatus ("account status") {
        /// Takes new calls.
        #[default]
        Open = "open",
        /// Takes no new calls; late calls are still charged.
        Closed = "closed",
    }
}

named_enum! {
    /// The state of a wallet, as shown to the customer.
    pub enum WalletState ("wallet state") {
        /// There is enough money.
        Active = "active",
        /// Available is below the account's highest alert threshold.
        Low = "low",
        /// Nothing can be granted: no allowance left, and available is zero or less.
        Empty = "empty",
        /// The account is closed.
        Closed = "closed",
    }
}

/// Returns what new calls may use: balance + credit limit − held.
///
/// # Errors
/// [`MoneyError::Overflow`] beyond 64 bits of micro-dollars.
pub fn available(balance: Money, credit_limit: Money, held: Money) -> Result<Money, MoneyError> {
    let [balance, credit_limit, held] = [balance, credit_limit, held].map(wide);
    Money::try_from_wide(balance + credit_limit - held)
}

/// Returns the threshold below which a wallet is `low`: the account's highest alert threshold, or
/// the setting if it has none.
pub fn low_threshold(alert_thresholds: &[Money], setting: Money) -> Money {
    alert_thresholds.iter().copied().max().unwrap_or(setting)
}

/// Returns the state of a wallet (docs/charging.md, "Available, and states"). The most severe state
/// that applies wins: closed, then empty, then low.
///
/// `allowance_remaining_seconds` is the rest of the current cycle's allowance, 0 without a plan;
/// `available` and `low_threshold` come from [`available`] and [`low_threshold()`]. Alerts compare
/// the balance; the state compares what is available, without the holds.
pub fn wallet_state(
    status: AccountStatus,
    allowance_remaining_seconds: u64,
    available: Money,
    low_threshold: Money,
) -> WalletState {
    if status == AccountStatus::Closed {
        WalletState::Closed
    } else if allowance_remaining_seconds == 0 && !available.is_positive() {
        WalletState::Empty
    } else if available < low_threshold {
        WalletState::Low
    } else {
        WalletState::Active
    }
}

/// Returns how far one debit takes the balance beyond the credit limit. The overshoots of a series
/// of debits add up to the final overshoot (docs/charging.md, "What pays").
///
/// `before` and `after` are balances of the ledger, without holds. A credit has no overshoot.
pub fn overshoot(before: Money, after: Money, credit_limit: Money) -> Money {
    let beyond = |balance: Money| (-(wide(balance) + wide(credit_limit))).max(0);
    Money::from_wide_saturating((beyond(after) - beyond(before)).max(0))
}

/// Returns the balance after `change` (a debit is negative), or `None` if that would take the
/// wallet further out of its range (docs/charging.md, "Money and time").
///
/// In its range, a wallet's balance and its balance with the credit limit are within plus and minus
/// [`Money::EXACT_IN_LUA`], which Redis counts exactly. A change that brings a wallet nearer to its
/// range is never refused.
pub fn balance_after(before: Money, change: Money, credit_limit: Money) -> Option<Money> {
    let after = before.checked_add(change)?;
    let outside = |balance| beyond_range(balance, credit_limit);
    (outside(after) <= outside(before)).then_some(after)
}

/// By how many micro-dollars a wallet is out of its range; 0 if within.
fn beyond_range(balance: Money, credit_limit: Money) -> i128 {
    let (balance, most) = (wide(balance), wide(Money::EXACT_IN_LUA));
    (-balance - most).max(balance + wide(credit_limit) - most).max(0)
}

fn wide(amount: Money) -> i128 {
    i128::from(amount.micros())
}
