//! Saved cards.

use std::fmt;

use callmeter_core::domain::PaymentMethodId;
use serde::Deserialize;

use super::{Identified, id_of};

/// A means of payment; here always a card.
#[derive(Clone, Debug, Deserialize)]
pub struct PaymentMethod {
    /// Its id.
    pub id: PaymentMethodId,
    /// The customer to whom it is attached; none if it is not, or was detached.
    #[serde(default, deserialize_with = "id_of")]
    pub customer: Option<String>,
    /// True in live mode.
    pub livemode: bool,
    /// When it was created.
    pub created: i64,
    /// The card.
    pub card: Option<Card>,
}

/// What may be known of a card.
#[derive(Clone, Deserialize)]
pub struct Card {
    /// `visa`, `mastercard`, `amex`, …
    pub brand: String,
    /// The last four digits.
    pub last4: String,
    /// 1 to 12.
    pub exp_month: u32,
    /// Four digits.
    pub exp_year: u32,
    /// The same for the same card number within a Stripe account.
    pub fingerprint: Option<String>,
}

impl Identified for PaymentMethod {
    const OBJECT: &str = "payment_method";

    fn id(&self) -> &str {
        self.id.as_str()
    }
}

/// Shows the brand only.
impl fmt::Debug for Card {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Card").field("brand", &self.brand).finish_non_exhaustive()
    }
}
