//! The catalog of the model, and its text for the service.

use super::money::{Micros, show};
use super::time::{At, rfc3339};
use std::fmt::Write as _;

/// Prices per minute: a default, and prefixes of the rated number (a blocked one has no price).
#[derive(Clone, Debug)]
pub(crate) struct Deck {
    pub(crate) per_minute: Micros,
    pub(crate) prefixes: Vec<(String, Option<Micros>)>,
}

impl Deck {
    /// The rate of a rated number: the longest matching prefix that has a price.
    pub(crate) fn rate(&self, rated_number: &str) -> Micros {
        let longest = self
            .prefixes
            .iter()
            .filter(|(prefix, _)| rated_number.starts_with(prefix.as_str()))
            .max_by_key(|(prefix, _)| prefix.len());
        longest.and_then(|(_, rate)| *rate).unwrap_or(self.per_minute)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) id: &'static str,
    pub(crate) included_minutes: i64,
    pub(crate) deck: Deck,
    /// Seconds billed at least, and the increment after them.
    pub(crate) increments: (i64, i64),
    pub(crate) blocks_overage: bool,
    pub(crate) parent_legs_only: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct NumberPrice {
    pub(crate) country: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) monthly: Micros,
}

/// One version of the catalog.
#[derive(Clone, Debug)]
pub(crate) struct Catalog {
    /// Without a time it is effective from the beginning, as the first version is.
    pub(crate) effective_at: Option<At>,
    pub(crate) standard: Deck,
    pub(crate) standard_increments: (i64, i64),
    pub(crate) plans: Vec<Plan>,
    pub(crate) numbers: Vec<NumberPrice>,
}

impl Catalog {
    pub(crate) fn plan(&self, id: &str) -> &Plan {
        self.plans.iter().find(|plan| plan.id == id).expect("the plan is in the catalog")
    }

    /// The catalog as a file for the service.
    pub(crate) fn to_toml(&self) -> String {
        let mut text = String::new();
        if let Some(at) = self.effective_at {
            let _ = writeln!(text, "effective_at = {}\n", rfc3339(at));
        }
        let (initial, increment) = self.standard_increments;
        let _ = writeln!(text, "[standard]\nper_minute = \"{}\"", show(self.standard.per_minute));
        let _ = writeln!(text, "increments = \"{initial}/{increment}\"");
        let _ = writeln!(text, "rates = {}", rates(&self.standard));
        for plan in &self.plans {
            let (initial, increment) = plan.increments;
            let overage = if plan.blocks_overage { "block" } else { "wallet" };
            let legs = if plan.parent_legs_only { "parent_only" } else { "each" };
            let _ = write!(
                text,
                "\n[[plans]]\nid = \"{id}\"\nname = \"Plan {id}\"\nmonthly_fee = \"29.00\"\n\
                 included_minutes = {}\nper_minute = \"{}\"\nincrements = \"{initial}/{increment}\"\n\
                 overage = \"{overage}\"\nlegs = \"{legs}\"\nrates = {}\n",
                plan.included_minutes,
                show(plan.deck.per_minute),
                rates(&plan.deck),
                id = plan.id,
            );
        }
        for number in &self.numbers {
            let price = show(number.monthly);
            let _ = write!(
                text,
                "\n[[numbers]]\ncountry = \"{}\"\ntype = \"{}\"\npurchase = \"{price}\"\n\
                 monthly = \"{price}\"\n",
                number.country, number.kind,
            );
        }
        text
    }
}

fn rates(deck: &Deck) -> String {
    let rows = deck.prefixes.iter().map(|(prefix, rate)| match rate {
        Some(rate) => format!("{{ prefix = \"{prefix}\", per_minute = \"{}\" }}", show(*rate)),
        None => format!("{{ prefix = \"{prefix}\", blocked = true }}"),
    });
    format!("[{}]", rows.collect::<Vec<_>>().join(", "))
}

/// The version in force at a time: the latest effective one; of two with the same time, the one
/// accepted later. `versions` are in the order of acceptance; the first is effective from the
/// beginning.
pub(crate) fn in_force(versions: &[Catalog], at: At) -> &Catalog {
    let mut best = &versions[0];
    let mut best_since = At::MIN;
    for version in &versions[1..] {
        let since = version.effective_at.expect("later versions say since when");
        if since <= at && since >= best_since {
            (best, best_since) = (version, since);
        }
    }
    best
}

#[test]
fn the_model_takes_the_longest_prefix_and_the_default_for_a_blocked_one() {
    let prefixes = vec![
        ("+44".to_owned(), Some(30_000)),
        ("+447".to_owned(), Some(35_000)),
        ("+881".to_owned(), None),
    ];
    let deck = Deck { per_minute: 20_000, prefixes };
    let cases = [
        ("+442071234567", 30_000),
        ("+447700900123", 35_000),
        ("+88161234567", 20_000),
        ("+15005550006", 20_000),
        ("client:+44", 20_000),
        ("", 20_000),
    ];
    for (rated_number, rate) in cases {
        assert_eq!(deck.rate(rated_number), rate, "{rated_number}");
    }
}
