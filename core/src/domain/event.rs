//! The types of events that are told: on Kafka, to web hooks and to the live stream.
//!
//! Place in the flow: the ledger writes an event in the transaction of what it tells; consumers of
//! the outbox publish it as a `CloudEvent`.
//!
//! There must never be a second word for the same thing: receivers hold on to these names.

use super::named::named_enum;

named_enum! {
    /// The type of an event. As a `CloudEvent` it has the prefix `callmeter.`.
    pub enum EventType ("event type") {
        /// A row of the ledger, except those of calls.
        TransactionCreated = "transaction.created",
        /// A refill was paid and credited.
        RefillCompleted = "refill.completed",
        /// A refill failed; nothing was paid.
        RefillFailed = "refill.failed",
        /// The customer must confirm a refill.
        RefillActionRequired = "refill.action_required",
        /// Money of a refill went back to the card.
        RefillRefunded = "refill.refunded",
        /// The customer disputes a payment at the bank.
        DisputeOpened = "dispute.opened",
        /// A dispute was decided.
        DisputeClosed = "dispute.closed",
        /// The balance fell below a threshold of the account.
        AlertBalanceBelow = "alert.balance_below",
        /// The balance fell below zero.
        AlertEmpty = "alert.empty",
        /// A percent of the month's budget is spent.
        BudgetWarning = "budget.warning",
        /// The month's budget is spent.
        BudgetExceeded = "budget.exceeded",
        /// Calls were refused.
        AuthorizationDenied = "authorization.denied",
        /// The settings of auto-refill changed.
        AutoRefillChanged = "auto_refill.changed",
        /// Auto-refill was switched off by itself.
        AutoRefillDisabled = "auto_refill.disabled",
        /// Auto-refill waits for the next month: its cap is reached.
        AutoRefillCapped = "auto_refill.capped",
        /// A card was saved.
        PaymentMethodAdded = "payment_method.added",
        /// A card was removed.
        PaymentMethodRemoved = "payment_method.removed",
        /// A number was bought.
        NumberPurchased = "number.purchased",
        /// A number was not bought; its price was given back.
        NumberPurchaseFailed = "number.purchase_failed",
        /// The rent of a number could not be paid.
        NumberRentFailed = "number.rent_failed",
        /// A number's rent was not paid in time; its release is asked for.
        NumberSuspended = "number.suspended",
        /// A number was given back to Twilio.
        NumberReleased = "number.released",
        /// A receiver of web hooks gets nothing more: it is gone, or failed for too long.
        WebhookEndpointDisabled = "webhook_endpoint.disabled",
    }
}

impl EventType {
    /// What the name of a type begins with wherever others see it.
    pub const PREFIX: &str = "callmeter.";

    /// True if it warns the customer: of the balance, the budget, or refused calls.
    pub const fn is_alert(self) -> bool {
        matches!(
            self,
            Self::AlertBalanceBelow
                | Self::AlertEmpty
                | Self::BudgetWarning
                | Self::BudgetExceeded
                | Self::AuthorizationDenied
        )
    }
}
