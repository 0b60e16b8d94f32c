//! What an account spends in a UTC month, and what follows from its budget.
//!
//! Place in the flow: the ledger adds each row to the month's spending under the wallet's lock, and
//! asks which marks of the budget it reached; authorization asks what is left.
//!
//! A month must turn by time alone: after its end the spending is zero, though no row was written.

use chrono::{DateTime, TimeDelta, Utc};

use super::auto_refill::{month_of, next_month};
use crate::domain::{
    Money, TransactionKind, TransactionStatus, divide_half_away_from_zero as divide,
};

/// The part of a month that must be over before its end is forecast.
pub const FORECAST_AFTER: TimeDelta = TimeDelta::days(1);

/// By how much a row raises what its account spent: a completed debit other than an adjustment, a
/// chargeback or a refund to a card, less what a `refund` gives back (docs/charging.md, "Alerts and
/// budgets").
pub fn spending_of(kind: TransactionKind, status: TransactionStatus, amount: Money) -> Money {
    use TransactionKind as Kind;
    if status != TransactionStatus::Completed {
        return Money::ZERO;
    }
    match kind {
        Kind::Call | Kind::Overage | Kind::NumberPurchase | Kind::NumberRental => amount,
        Kind::Refund => Money::from_micros(amount.micros().saturating_neg()),
        Kind::RefillManual
        | Kind::RefillAuto
        | Kind::ChargebackReversal
        | Kind::RefillRefundReversal
        | Kind::AdjustmentCredit
        | Kind::RefillRefund
        | Kind::Chargeback
        | Kind::AdjustmentDebit => Money::ZERO,
    }
}

/// What an account spent in the UTC month of its last row. Below zero if more was given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spending {
    /// The sum over the month's rows.
    pub spent: Money,
    /// The end of that month.
    pub ends_at: DateTime<Utc>,
}

impl Spending {
    /// Before the first row.
    pub const NONE: Self = Self { spent: Money::ZERO, ends_at: DateTime::UNIX_EPOCH };

    /// What was spent in the month of `now`, which is not before the last row.
    pub fn at(self, now: DateTime<Utc>) -> Money {
        if now < self.ends_at { self.spent } else { Money::ZERO }
    }

    /// Enters a row of `at`, no earlier than the last one; returns what was spent in its month
    /// before it.
    pub fn enter(&mut self, at: DateTime<Utc>, amount: Money) -> Money {
        if at >= self.ends_at {
            *self = Self { spent: Money::ZERO, ends_at: next_month(at) };
        }
        let before = self.spent;
        self.spent = Money::from_micros(before.micros().saturating_add(amount.micros()));
        before
    }
}

/// What an account may spend in a month.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Dollars a month; above zero.
    pub monthly: Money,
    /// The percents of it that are warned of, rising.
    pub warn_at_percent: Vec<i16>,
    /// True if no new call is allowed once it is spent.
    pub stop: bool,
}

/// What is told of a budget, once a month.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BudgetMark {
    /// So many percent are spent.
    Percent(i16),
    /// All of it is spent.
    Spent,
}

impl BudgetMark {
    /// True if `spent` reaches it.
    fn is_reached(self, spent: Money, monthly: Money) -> bool {
        let percent = match self {
            Self::Percent(percent) => percent,
            Self::Spent => 100,
        };
        i128::from(spent.micros()) * 100 >= i128::from(monthly.micros()) * i128::from(percent)
    }
}

impl Budget {
    /// The marks that `spent` reaches, rising.
    pub fn reached(&self, spent: Money) -> impl Iterator<Item = BudgetMark> {
        let marks = self.warn_at_percent.iter().map(|percent| BudgetMark::Percent(*percent));
        let marks = marks.chain([BudgetMark::Spent]);
        marks.filter(move |mark| mark.is_reached(spent, self.monthly))
    }

    /// The marks that a row reaches, which takes the spending of its month from `before` to
    /// `after`.
    pub fn crossed(&self, before: Money, after: Money) -> impl Iterator<Item = BudgetMark> {
        self.reached(after).filter(move |mark| !mark.is_reached(before, self.monthly))
    }

    /// What new calls may use; `None`: it stops none.
    pub fn stop(&self, spending: Spending) -> Option<BudgetStop> {
        let most = Money::EXACT_IN_LUA.micros();
        let left = self.monthly.micros().saturating_sub(spending.spent.micros());
        self.stop.then_some(BudgetStop {
            left: Money::from_micros(left.clamp(-most, most)),
            monthly: self.monthly,
            ends_at: spending.ends_at,
        })
    }
}

/// What is left of a budget that stops calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BudgetStop {
    /// Until the month's end, before what calls in progress hold.
    pub left: Money,
    /// From the month's end on.
    pub monthly: Money,
    /// The month's end.
    pub ends_at: DateTime<Utc>,
}

impl BudgetStop {
    /// What is left at `now`, while calls in progress hold `held`.
    pub fn left_at(&self, now: DateTime<Utc>, held: Money) -> Money {
        let left = if now < self.ends_at { self.left } else { self.monthly };
        Money::from_micros(left.micros().saturating_sub(held.micros()))
    }
}

/// What will be spent at the month's end if it goes on as so far: `spent` scaled to the month's
/// length. `None` on the month's first day, which tells too little.
pub fn forecast(spent: Money, now: DateTime<Utc>) -> Option<Money> {
    let start = month_of(now).and_time(chrono::NaiveTime::MIN).and_utc();
    let passed = now - start;
    if passed < FORECAST_AFTER {
        return None;
    }
    let length = i128::from((next_month(now) - start).num_milliseconds());
    let scaled = divide(i128::from(spent.micros()) * length, passed.num_milliseconds().into());
    i64::try_from(scaled).ok().map(Money::from_micros)
}
