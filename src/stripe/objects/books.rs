//! Payments, payouts and rows of the balance, as lists give them for a comparison of the books.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{BalanceTransaction, Charge, Identified, id_of, if_readable};

/// A payment in a list, with its charge and that charge's row in the balance.
#[derive(Clone, Debug, Deserialize)]
pub struct ListedPayment {
    /// Its id (`pi_…`).
    pub id: String,
    /// `succeeded`, …
    pub status: String,
    /// What was paid, in cents.
    #[serde(default)]
    pub amount_received: i64,
    /// Lower case: `usd`.
    pub currency: String,
    /// What we noted with it.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    /// The last attempt's charge.
    #[serde(default, deserialize_with = "if_readable")]
    pub latest_charge: Option<Charge>,
    /// When it was created.
    pub created: i64,
}

/// Money that Stripe sent to our bank.
#[derive(Clone, Debug, Deserialize)]
pub struct Payout {
    /// Its id (`po_…`).
    pub id: String,
    /// In cents of its currency; negative if Stripe took it from the bank.
    pub amount: i64,
    /// Lower case: `usd`.
    pub currency: String,
    /// `paid`, `pending`, `in_transit`, `canceled`, `failed`.
    pub status: String,
    /// True if Stripe made it by itself: only then does it know which rows it contains.
    #[serde(default)]
    pub automatic: bool,
    /// When it reaches the bank.
    pub arrival_date: i64,
    /// When it was created.
    pub created: i64,
}

/// A row of the balance in a list, with what it belongs to.
#[derive(Clone, Debug, Deserialize)]
pub struct Movement {
    /// Its id (`txn_…`).
    pub id: String,
    /// `charge`, `refund`, `adjustment`, `payout`, `stripe_fee`, …
    #[serde(rename = "type", default)]
    pub kind: String,
    /// Finer than the type: `charge`, `refund`, `dispute`, `dispute_reversal`, `fee`, …
    pub reporting_category: Option<String>,
    /// In cents of the settlement's currency; negative if it leaves us.
    pub amount: i64,
    /// Stripe's fee, in cents.
    #[serde(default)]
    pub fee: i64,
    /// `amount` less `fee`.
    #[serde(default)]
    pub net: i64,
    /// The charge, refund or dispute.
    #[serde(default, deserialize_with = "if_readable")]
    pub source: Option<MovementSource>,
    /// When it was created.
    pub created: i64,
}

/// What moved the balance.
#[derive(Clone, Debug, Deserialize)]
pub struct MovementSource {
    /// Its id.
    pub id: String,
    /// The payment that it belongs to.
    #[serde(default, deserialize_with = "id_of")]
    pub payment_intent: Option<String>,
}

impl ListedPayment {
    /// The row of the balance that its charge made; none before Stripe made it.
    pub fn settled(&self) -> Option<&BalanceTransaction> {
        self.latest_charge.as_ref()?.balance_transaction.as_ref()?.object()
    }
}

impl Identified for ListedPayment {
    const OBJECT: &str = "payment_intent";

    fn id(&self) -> &str {
        &self.id
    }
}

impl Identified for Payout {
    const OBJECT: &str = "payout";

    fn id(&self) -> &str {
        &self.id
    }
}

impl Identified for Movement {
    const OBJECT: &str = "balance_transaction";

    fn id(&self) -> &str {
        &self.id
    }
}
