//! The nouns of charging: plain values that are valid by construction.
//!
//! Place in the flow: below everything; every part of the service uses these types. Each is built
//! by `parse`, `new` or `try_from` and cannot hold what the rules forbid.
//!
//! It must never know Kafka, Postgres, Redis or HTTP, nor who calls it.

pub mod account;
pub mod call;
pub mod catalog;
pub mod cycle;
pub mod event;
pub mod ids;
pub mod increments;
pub mod money;
mod named;
pub mod number;
pub mod payment;
pub mod rate;
pub mod rental;
pub mod rounding;
pub mod share;
pub mod subscription;
pub mod transaction;

pub use account::{
    AccountStatus, WalletState, available, balance_after, low_threshold, overshoot, wallet_state,
};
pub use call::{Call, CallStatus, rated_number};
pub use catalog::{
    Catalog, CatalogError, CatalogHistory, CatalogHistoryError, CatalogProblem, CatalogVersion,
    Legs, MatchedRate, NumberPrice, NumberType, Overage, Plan, Prefix, PrefixError, PrefixRate,
    RateDeck, Tariff, VersionedCatalog,
};
pub use cycle::{Cycle, cycle_containing};
pub use event::EventType;
pub use ids::{
    AccountId, CallSid, IdError, PhoneNumberSid, PlanId, TwilioAccountSid, is_twilio_sid,
};
pub use increments::{Increments, IncrementsError, ZeroDurationCompleted};
pub use money::{Money, MoneyError};
pub use named::UnknownName;
pub use number::{NumberId, NumberStatus, is_e164};
pub use payment::{
    DeclineClass, PaymentIntentId, PaymentMethodId, RefillId, RefillStatus, RefillTrigger,
    RefundId, RefundStatus, StripeCustomerId,
};
pub use rate::RatePerMinute;
pub use rental::{RentalAnchor, rental_period_start};
pub use rounding::divide_half_away_from_zero;
pub use share::{Share, ShareError, rounded_decimal};
pub use subscription::{Subscription, SubscriptionId, SubscriptionInForce, SubscriptionTimeline};
pub use transaction::{AdjustmentReason, TransactionKind, TransactionStatus, TransactionType};
