//! What moved money: charges, refunds, disputes, and their rows in Stripe's balance.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Expandable, Identified, id_of};

/// An attempt to take money from a card.
#[derive(Clone, Debug, Deserialize)]
pub struct Charge {
    /// Its id (`ch_…`, `py_…`).
    pub id: String,
    /// Its payment.
    #[serde(default, deserialize_with = "id_of")]
    pub payment_intent: Option<String>,
    /// The customer.
    #[serde(default, deserialize_with = "id_of")]
    pub customer: Option<String>,
    /// In cents.
    pub amount: i64,
    /// What went back, in cents.
    #[serde(default)]
    pub amount_refunded: i64,
    /// Lower case: `usd`.
    pub currency: String,
    /// `succeeded`, `pending`, `failed`.
    pub status: String,
    /// True if it took money.
    #[serde(default)]
    pub paid: bool,
    /// True if the customer disputes it.
    #[serde(default)]
    pub disputed: bool,
    /// Its row in the balance.
    pub balance_transaction: Option<Expandable<BalanceTransaction>>,
    /// What we noted with its payment.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    /// When it was created.
    pub created: i64,
    /// True in live mode.
    pub livemode: bool,
}

/// Money sent back to a card. It has no `livemode`.
#[derive(Clone, Debug, Deserialize)]
pub struct Refund {
    /// Its id (`re_…`, `pyr_…`).
    pub id: String,
    /// The charge it refunds.
    #[serde(default, deserialize_with = "id_of")]
    pub charge: Option<String>,
    /// Its payment.
    #[serde(default, deserialize_with = "id_of")]
    pub payment_intent: Option<String>,
    /// In cents.
    pub amount: i64,
    /// Lower case: `usd`.
    pub currency: String,
    /// `pending`, `requires_action`, `succeeded`, `failed`, `canceled`.
    pub status: Option<String>,
    /// What we noted with it.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    /// Its row in the balance.
    pub balance_transaction: Option<Expandable<BalanceTransaction>>,
    /// The row that gave the money back to us, if it failed.
    #[serde(default, deserialize_with = "id_of")]
    pub failure_balance_transaction: Option<String>,
    /// Why it failed.
    pub failure_reason: Option<String>,
    /// When it was created.
    pub created: i64,
}

/// A charge that the customer disputes at the bank.
#[derive(Clone, Debug, Deserialize)]
pub struct Dispute {
    /// Its id (`du_…`, `dp_…`).
    pub id: String,
    /// The charge.
    #[serde(default, deserialize_with = "id_of")]
    pub charge: Option<String>,
    /// Its payment.
    #[serde(default, deserialize_with = "id_of")]
    pub payment_intent: Option<String>,
    /// The disputed amount, in cents.
    pub amount: i64,
    /// Lower case: `usd`.
    pub currency: String,
    /// `needs_response`, `under_review`, `won`, `lost`, …; `warning_…` is an inquiry.
    pub status: String,
    /// `fraudulent`, `product_not_received`, …
    #[serde(default)]
    pub reason: String,
    /// What was withdrawn and reinstated: at most two rows.
    #[serde(default)]
    pub balance_transactions: Vec<BalanceTransaction>,
    /// What we noted with it.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    /// When it was created.
    pub created: i64,
    /// True in live mode.
    pub livemode: bool,
}

/// A row of Stripe's balance.
#[derive(Clone, Debug, Deserialize)]
pub struct BalanceTransaction {
    /// Its id (`txn_…`).
    pub id: String,
    /// `charge`, `refund`, `adjustment`, `payout`, `stripe_fee`, …
    #[serde(rename = "type", default)]
    pub kind: String,
    /// Finer than the type: `dispute`, `dispute_reversal`, …
    pub reporting_category: Option<String>,
    /// The gross amount in cents of the settlement's currency; negative if it leaves us.
    pub amount: i64,
    /// Stripe's fee, in cents.
    #[serde(default)]
    pub fee: i64,
    /// `amount` less `fee`.
    #[serde(default)]
    pub net: i64,
    /// The settlement's currency.
    pub currency: String,
    /// What it belongs to: a charge, a refund, a dispute.
    #[serde(default, deserialize_with = "id_of")]
    pub source: Option<String>,
    /// When it was created.
    pub created: i64,
}

impl Dispute {
    /// True if it is an inquiry, which moves no money.
    pub fn is_inquiry(&self) -> bool {
        self.status.starts_with("warning_")
    }
}

impl Identified for Charge {
    const OBJECT: &str = "charge";

    fn id(&self) -> &str {
        &self.id
    }
}

impl Identified for Refund {
    const OBJECT: &str = "refund";

    fn id(&self) -> &str {
        &self.id
    }
}

impl Identified for Dispute {
    const OBJECT: &str = "dispute";

    fn id(&self) -> &str {
        &self.id
    }
}

impl Identified for BalanceTransaction {
    const OBJECT: &str = "balance_transaction";

    fn id(&self) -> &str {
        &self.id
    }
}
