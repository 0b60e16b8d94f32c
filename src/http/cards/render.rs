//! A saved card as JSON.

use chrono::{DateTime, Datelike, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::json::schema;
use crate::ledger::payments::cards::SavedCard;

/// A saved card.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PaymentMethod)]
pub(super) struct CardJson {
    #[schema(value_type = schema::PaymentMethodId)]
    id: String,
    /// In Stripe's words, such as `visa`.
    brand: String,
    /// The last four digits.
    last4: String,
    /// 1 to 12.
    exp_month: i16,
    /// Four digits.
    exp_year: i16,
    /// Refills that name no card use it.
    default: bool,
    /// False once it is expired.
    usable: bool,
}

/// All saved cards of an account, newest first; not paged.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PaymentMethods)]
pub(super) struct CardsJson {
    pub(super) items: Vec<CardJson>,
}

impl CardJson {
    pub(super) fn new(card: SavedCard, now: DateTime<Utc>) -> Self {
        let (year, month) = (i32::from(card.exp_year), u32::from(card.exp_month.unsigned_abs()));
        Self {
            id: card.id.to_string(),
            brand: card.face.brand,
            last4: card.face.last4,
            exp_month: card.exp_month,
            exp_year: card.exp_year,
            default: card.is_default,
            // A card is valid until the end of its month.
            usable: (year, month) >= (now.year(), now.month()),
        }
    }
}
