//! The types, kinds and statuses of transactions.
//!
//! Place in the flow: the ledger writes these words into its rows; pages and exports read them.
//!
//! There must never be a second word for the same thing: rows are kept for ever.

use super::named::named_enum;

named_enum! {
    /// The direction in which a transaction moves money.
    pub enum TransactionType ("transaction type") {
        /// Into the wallet.
        Credit = "credit",
        /// Out of the wallet.
        Debit = "debit",
    }
}

named_enum! {
    /// What a transaction is for (docs/charging.md, "The ledger").
    pub enum TransactionKind ("transaction kind") {
        /// The customer's own refill by card.
        RefillManual = "refill_manual",
        /// A refill triggered by a threshold.
        RefillAuto = "refill_auto",
        /// Gives back a debit, at most in full.
        Refund = "refund",
        /// A chargeback that was won.
        ChargebackReversal = "chargeback_reversal",
        /// A refund to a card that did not arrive.
        RefillRefundReversal = "refill_refund_reversal",
        /// A correction in the customer's favour; an opening balance is one.
        AdjustmentCredit = "adjustment_credit",
        /// A call without a subscription.
        Call = "call",
        /// A subscriber's call beyond the allowance.
        Overage = "overage",
        /// The price of a number, its first period included.
        NumberPurchase = "number_purchase",
        /// One period of a number.
        NumberRental = "number_rental",
        /// Money of a refill returned to the card.
        RefillRefund = "refill_refund",
        /// Money of a refill taken back by the bank.
        Chargeback = "chargeback",
        /// A correction in our favour.
        AdjustmentDebit = "adjustment_debit",
    }
}

named_enum! {
    /// Whether a transaction moved money.
    pub enum TransactionStatus ("transaction status") {
        /// Moved money.
        Completed = "completed",
        /// Not yet: the balance is unchanged.
        Pending = "pending",
        /// It never will: the balance is unchanged.
        Failed = "failed",
    }
}

named_enum! {
    /// Why a wallet was adjusted, in the words of the books.
    pub enum AdjustmentReason ("reason of an adjustment") {
        /// Money that changed hands outside of this service.
        Cash = "cash",
        /// A gift to win or keep a customer.
        Promotional = "promotional",
        /// A gift to make good.
        Goodwill = "goodwill",
        /// An earlier row was wrong.
        Correction = "correction",
    }
}

impl TransactionKind {
    /// Returns the direction of the kind.
    pub const fn transaction_type(self) -> TransactionType {
        match self {
            Self::RefillManual
            | Self::RefillAuto
            | Self::Refund
            | Self::ChargebackReversal
            | Self::RefillRefundReversal
            | Self::AdjustmentCredit => TransactionType::Credit,
            Self::Call
            | Self::Overage
            | Self::NumberPurchase
            | Self::NumberRental
            | Self::RefillRefund
            | Self::Chargeback
            | Self::AdjustmentDebit => TransactionType::Debit,
        }
    }

    /// Returns the description on the wallet page if a transaction has none of its own.
    pub const fn default_description(self) -> &'static str {
        match self {
            Self::RefillManual => "Wallet refill",
            Self::RefillAuto => "Automatic wallet refill",
            Self::Refund => "Refund",
            Self::ChargebackReversal => "Chargeback reversal",
            Self::RefillRefundReversal => "Refund to card returned",
            Self::AdjustmentCredit => "Adjustment credit",
            Self::Call => "Call minutes deduction",
            Self::Overage => "Overage minutes deduction",
            Self::NumberPurchase => "Phone number purchase",
            Self::NumberRental => "Monthly number fee",
            Self::RefillRefund => "Refund to card",
            Self::Chargeback => "Chargeback",
            Self::AdjustmentDebit => "Adjustment debit",
        }
    }
}
