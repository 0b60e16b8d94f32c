//! The reasons to deny an authorization: the words that callers, metrics and the ledger share.
//!
//! `place.lua` checks them in one order; `authorize/fallback.rs` checks the same order without Redis.

/// Why a call may not go ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Denial {
    /// Allowance and money do not pay the initial length.
    InsufficientFunds,
    /// The plan's allowance is used up, and the plan blocks overage.
    AllowanceExhausted,
    /// The month's budget is spent.
    BudgetExceeded,
    /// The account is closed.
    AccountClosed,
    /// The tariff blocks the destination.
    DestinationBlocked,
    /// The account has its maximum of calls in progress.
    TooManyCalls,
    /// The call has ended.
    CallAlreadySettled,
}

impl Denial {
    /// Every reason.
    pub const ALL: &[Self] = &[
        Self::InsufficientFunds,
        Self::AllowanceExhausted,
        Self::BudgetExceeded,
        Self::AccountClosed,
        Self::DestinationBlocked,
        Self::TooManyCalls,
        Self::CallAlreadySettled,
    ];

    /// The word for callers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InsufficientFunds => "insufficient_funds",
            Self::AllowanceExhausted => "allowance_exhausted",
            Self::BudgetExceeded => "budget_exceeded",
            Self::AccountClosed => "account_closed",
            Self::DestinationBlocked => "destination_blocked",
            Self::TooManyCalls => "too_many_calls",
            Self::CallAlreadySettled => "call_already_settled",
        }
    }

    /// Reads the word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.as_str() == word)
    }
}
