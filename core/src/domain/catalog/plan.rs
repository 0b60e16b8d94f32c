//! The content of one catalog version.
//!
//! Place in the flow: built by `parse`, read by rating, the wallet page and number purchases.
//!
//! It must never be changed in place: a changed text is a new version.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::deck::RateDeck;
use crate::domain::ids::PlanId;
use crate::domain::increments::Increments;
use crate::domain::money::Money;
use crate::domain::named::named_enum;
use crate::domain::rate::RatePerMinute;

/// One version of the catalog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Catalog {
    /// When it takes effect; `None`: at its acceptance.
    pub effective_at: Option<DateTime<Utc>>,
    /// What accounts without a subscription pay.
    pub standard: Tariff,
    /// The plans by id.
    pub plans: BTreeMap<PlanId, Plan>,
    /// The prices of numbers, in the file's order, one per country and type.
    pub numbers: Vec<NumberPrice>,
}

impl Catalog {
    /// The size limit of the file: 4 MiB, about 50,000 prefixes.
    pub const BYTES_MAX: usize = 4 << 20;

    /// The highest rate: 10,000 dollars a minute. With it, calls and holds of up to a day stay
    /// within the integers that a Lua script counts exactly (below 2^53).
    pub const RATE_MAX: Money = Money::from_micros(10_000_000_000);

    /// The highest monthly fee and price of a number: a million dollars.
    pub const PRICE_MAX: Money = Money::from_micros(1_000_000_000_000);

    /// The most minutes that a plan may include: a thousand million.
    pub const INCLUDED_MINUTES_MAX: u64 = 1_000_000_000;

    /// Finds the price of a number by ISO country and Twilio's number type, in any case; `toll
    /// free`, `toll-free` and `tollfree` are the same.
    pub fn number_price(&self, country: &str, number_type: &str) -> Option<&NumberPrice> {
        let number_type = NumberType::parse_loosely(number_type)?;
        self.numbers.iter().find(|price| {
            price.number_type == number_type && price.country.eq_ignore_ascii_case(country)
        })
    }
}

/// How calls are billed: shared by the standard terms and by plans.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tariff {
    /// How seconds become billed seconds.
    pub increments: Increments,
    /// The price of a billed minute, by rated number.
    pub deck: RateDeck,
}

/// A plan that accounts subscribe to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Its id, to which subscriptions refer.
    pub id: PlanId,
    /// Its name for customers.
    pub name: String,
    /// The monthly fee: shown and compared, billed elsewhere.
    pub monthly_fee: Money,
    /// What a cycle includes, in seconds.
    pub included_seconds: u64,
    /// How the seconds beyond the allowance are billed: overage.
    pub tariff: Tariff,
    /// What happens with calls beyond the allowance.
    pub overage: Overage,
    /// Which legs are charged.
    pub legs: Legs,
}

impl Plan {
    /// Returns the overage rate per minute, prefix rates aside.
    pub fn rate(&self) -> RatePerMinute {
        self.tariff.deck.default_rate()
    }
}

named_enum! {
    /// What happens with calls beyond the allowance.
    #[derive(Default)]
    pub enum Overage ("overage") {
        /// The wallet pays.
        #[default]
        Wallet = "wallet",
        /// Authorization refuses them; if a call is made nevertheless, it is charged.
        Block = "block",
    }
}

named_enum! {
    /// Which legs of a call are charged.
    #[derive(Default)]
    pub enum Legs ("legs") {
        /// Each leg separately, as Twilio does.
        #[default]
        Each = "each",
        /// Only legs without a parent; the others are recorded at no cost.
        ParentOnly = "parent_only",
    }
}

named_enum! {
    /// Twilio's types of numbers, as its Pricing API spells them.
    pub enum NumberType ("number type") {
        /// Of a town or region.
        Local = "local",
        /// Of a mobile network.
        Mobile = "mobile",
        /// Of a country, without a place.
        National = "national",
        /// Free for the caller.
        TollFree = "toll free",
    }
}

impl NumberType {
    /// Reads a type as any Twilio interface spells it: `toll free`, `TollFree`, `toll-free`.
    pub fn parse_loosely(text: &str) -> Option<Self> {
        fn letters(text: &str) -> impl Iterator<Item = char> {
            let spacing = |character: &char| !matches!(character, ' ' | '-' | '_');
            text.chars().filter(spacing).map(|character| character.to_ascii_lowercase())
        }
        Self::ALL.iter().copied().find(|known| letters(known.as_str()).eq(letters(text)))
    }
}

/// What a number costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NumberPrice {
    /// ISO 3166 country, two capital letters.
    pub country: Box<str>,
    /// Twilio's type.
    pub number_type: NumberType,
    /// The price of buying it, its first period included.
    pub purchase: Money,
    /// The price of each period after that.
    pub monthly: Money,
}
