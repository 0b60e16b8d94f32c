//! What a row of a wallet's ledger can be.
//!
//! Place in the flow: the ledger writes these words into its rows, pages and exports read them.
//!
//! It must never gain a second word for the same thing: rows are kept for ever.

use super::named::named_enum;

named_enum! {
    /// Which way a transaction moves money.
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
        /// A refill that a threshold set off.
        RefillAuto = "refill_auto",
        /// Gives back a debit row, never more than it.
        Refund = "refund",
        /// A chargeback that was won.
        ChargebackReversal = "chargeback_reversal",
        /// A refund to card that did not arrive.
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
        /// Money of a refill sent back to the card.
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
        /// It did.
        Completed = "completed",
        /// Not yet: before equals after.
        Pending = "pending",
        /// It will not: before equals after.
        Failed = "failed",
    }
}

impl TransactionKind {
    /// Gives the direction that the kind implies.
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

    /// Gives the words that customers read on their wallet page where nobody wrote others.
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
