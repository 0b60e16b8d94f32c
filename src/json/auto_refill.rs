//! Auto-refill as JSON.

use callmeter_core::domain::Money;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::schema;

/// Auto-refill of an account: what was set, and how it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = AutoRefill)]
pub(crate) struct AutoRefillJson {
    /// True if the card is charged when the balance falls below the threshold.
    pub(crate) enabled: bool,
    /// Null: never set.
    #[schema(value_type = Option<schema::Amount>)]
    pub(crate) threshold: Option<Money>,
    /// What is charged each time; null where `target` is set.
    #[schema(value_type = Option<schema::Amount>)]
    pub(crate) amount: Option<Money>,
    /// The balance to which it is refilled; null where `amount` is set.
    #[schema(value_type = Option<schema::Amount>)]
    pub(crate) target: Option<Money>,
    /// The most that is charged in a UTC month; null: no limit, which an administrator allowed.
    #[schema(value_type = Option<schema::Amount>)]
    pub(crate) monthly_cap: Option<Money>,
    /// The card; null: the default card at the time.
    #[schema(value_type = Option<schema::PaymentMethodId>)]
    pub(crate) payment_method: Option<String>,
    pub(crate) state: AutoRefillState,
    /// When the state ends by itself.
    pub(crate) until: Option<DateTime<Utc>>,
    /// Why it was switched off by itself: the decline's code, `card_refused`, `card_removed`,
    /// `no_payment_method` or `chargeback`.
    pub(crate) reason: Option<String>,
    /// Automatic refills that began in this UTC month and did not fail.
    #[schema(value_type = schema::Amount)]
    pub(crate) refilled_this_month: Money,
}

/// How auto-refill stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AutoRefillState {
    /// Switched off.
    Off,
    /// Charges the card when the balance falls below the threshold.
    Ready,
    /// A refill is in progress.
    InFlight,
    /// Waits after a declined refill.
    BackingOff,
    /// The monthly cap is reached.
    Capped,
    /// The customer must confirm a refill.
    ActionNeeded,
}
