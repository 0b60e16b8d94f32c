//! Stripe's objects, as far as they are read. Unknown fields are ignored, and words such as a
//! status stay text, so that a new one of Stripe's does not make an object unreadable.
//!
//! Amounts are whole cents of `currency`; instants are seconds since 1970, UTC. A reference to
//! another object is its id, also where Stripe expanded it.

mod books;
mod cards;
mod event;
mod intents;
mod movements;

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

use callmeter_core::domain::StripeCustomerId;

pub use books::{ListedPayment, Movement, MovementSource, Payout};
pub use cards::{Card, PaymentMethod};
pub use event::{Event, Unreadable};
pub use intents::{Complaint, NextAction, PaymentIntent, RedirectToUrl, SetupIntent};
pub use movements::{BalanceTransaction, Charge, Dispute, Refund};

/// One page of a listing, newest first.
#[derive(Clone, Debug, Deserialize)]
pub struct List<T> {
    /// The objects.
    pub data: Vec<T>,
    /// True if older ones follow (`starting_after` the last id).
    pub has_more: bool,
}

/// An object with an id of Stripe's, by which a listing goes on.
pub trait Identified {
    /// Its word in Stripe's field `object`.
    const OBJECT: &str;

    /// The id.
    fn id(&self) -> &str;
}

/// A reference that Stripe gives as an id, or as the object if it is asked to (`expand[]`).
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Expandable<T> {
    /// The id alone.
    Id(String),
    /// The object.
    Object(Box<T>),
}

impl<T: Identified> Expandable<T> {
    /// The id.
    pub fn id(&self) -> &str {
        match self {
            Self::Id(id) => id,
            Self::Object(object) => object.id(),
        }
    }

    /// The object, if it was expanded.
    pub fn object(&self) -> Option<&T> {
        match self {
            Self::Id(_) => None,
            Self::Object(object) => Some(object),
        }
    }
}

/// The Stripe customer of one account.
#[derive(Clone, Debug, Deserialize)]
pub struct Customer {
    /// Its id.
    pub id: StripeCustomerId,
    /// True in live mode; none if it was deleted.
    pub livemode: Option<bool>,
    /// What we noted with it.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    /// True if it was deleted.
    #[serde(default)]
    pub deleted: bool,
}

/// The Stripe account of the API key.
#[derive(Clone, Debug, Deserialize)]
pub struct Account {
    /// Its id (`acct_…`).
    pub id: String,
}

impl Identified for Customer {
    const OBJECT: &str = "customer";

    fn id(&self) -> &str {
        self.id.as_str()
    }
}

/// Reads the id of a reference, expanded or not.
fn id_of<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Reference {
        Id(String),
        Object { id: String },
    }
    Ok(Option::<Reference>::deserialize(deserializer)?.map(|reference| match reference {
        Reference::Id(id) | Reference::Object { id } => id,
    }))
}

/// Reads a part that is not needed: none if it cannot be read.
fn if_readable<'de, D: Deserializer<'de>, T: serde::de::DeserializeOwned>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    let part = Option::<serde_json::Value>::deserialize(deserializer)?;
    Ok(part.and_then(|part| serde_json::from_value(part).ok()))
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
