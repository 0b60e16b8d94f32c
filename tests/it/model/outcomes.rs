//! The required outcome of each record, and the records that must be kept as rejected.

use super::account::Account;
use super::catalog::Catalog;
use super::check::{Reported, monthly_price};
use super::money::Micros;
use super::read::{Reading, Record, Topic, read};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The place of a record.
pub(crate) type Place = (Topic, i32, i64);

/// The charges on which the outcome of later records depends.
#[derive(Debug, Default)]
pub(crate) struct Charged {
    /// The seconds of each call, by the account's and the call's sid.
    pub(crate) seconds: HashMap<(String, String), i64>,
    /// The amounts of the rentals of an account's sid.
    rentals: BTreeSet<(String, Micros)>,
    /// Rentals that lacked money.
    unpaid: usize,
}

impl Charged {
    /// Notes the report of one account.
    pub(crate) fn note(&mut self, account: &Account, reported: &Reported) {
        for charge in &reported.charges {
            let key = (account.sid.clone(), charge.call_sid.clone());
            self.seconds.insert(key, charge.seconds);
        }
        for row in reported.transactions.iter().filter(|row| row.kind == "number_rental") {
            self.unpaid += usize::from(row.status == "failed");
            self.rentals.insert((account.sid.clone(), row.amount));
        }
    }
}

/// Number of records by outcome, in the words of the service's metric.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcomes(pub(crate) BTreeMap<&'static str, usize>);

impl Outcomes {
    pub(crate) const WORDS: [&str; 7] =
        ["charged", "duplicate", "conflict", "not_billable", "rejected", "skipped", "unpaid"];

    pub(crate) fn total(&self) -> usize {
        self.0.values().sum()
    }
}

/// The outcome of a set of records.
#[derive(Debug, Default)]
pub(crate) struct Fate {
    pub(crate) outcomes: Outcomes,
    /// Kept individually, with the reason.
    pub(crate) single: BTreeMap<Place, &'static str>,
    /// Kept once each: the places of one call's other duration, or of one rental's other price.
    pub(crate) conflicts: Vec<BTreeSet<Place>>,
}

/// Computes the outcome of every record.
pub(crate) fn fate(
    versions: &[Catalog],
    accounts: &[Account],
    records: &[Record],
    charged: &Charged,
) -> Fate {
    let known: BTreeSet<&String> = accounts.iter().map(|account| &account.sid).collect();
    let mut fate = Fate::default();
    let mut conflicts: BTreeMap<String, BTreeSet<Place>> = BTreeMap::new();
    // A rental's first price decides; the charges show which one was first. Only an event's own
    // price can differ from it.
    let mut first_calls: BTreeSet<(String, String)> = BTreeSet::new();
    let mut prices: HashMap<String, Micros> = HashMap::new();
    for record in records {
        if let Reading::Rental(due) = read(record) {
            let Some(price) = monthly_price(versions, &due) else { continue };
            let key = format!("{} {:?}", due.phone_number_sid, due.period_start);
            let own = due.price.is_some();
            if !charged.rentals.contains(&(due.account_sid, price)) {
                continue;
            }
            // An event's own price was paid for this number; the catalog's perhaps for another one.
            if own {
                prices.insert(key, price);
            } else {
                prices.entry(key).or_insert(price);
            }
        }
    }
    let mut first_rentals: BTreeSet<String> = BTreeSet::new();
    for record in records {
        let place = (record.topic, record.partition, record.offset);
        let outcome = match read(record) {
            Reading::NotBillable => "not_billable",
            Reading::Skipped => "skipped",
            Reading::Undecodable => fate.reject(place, "undecodable"),
            Reading::Invalid(_) => fate.reject(place, "invalid"),
            Reading::Completed(call) if !known.contains(&call.account_sid) => {
                fate.reject(place, "unknown_account")
            }
            Reading::Completed(call) => {
                let name = format!("{} {} {}", call.account_sid, call.call_sid, call.seconds);
                let key = (call.account_sid, call.call_sid);
                if charged.seconds.get(&key) != Some(&call.seconds) {
                    conflicts.entry(name).or_default().insert(place);
                    "conflict"
                } else if first_calls.insert(key) {
                    "charged"
                } else {
                    "duplicate"
                }
            }
            Reading::Rental(due) if !known.contains(&due.account_sid) => {
                fate.reject(place, "unknown_account")
            }
            Reading::Rental(due) => {
                let key = format!("{} {:?}", due.phone_number_sid, due.period_start);
                let other = due.price.filter(|own| prices.get(&key).is_some_and(|it| it != own));
                if let Some(other) = other {
                    conflicts.entry(format!("{key} {other}")).or_default().insert(place);
                    "conflict"
                } else if first_rentals.contains(&key) {
                    "duplicate"
                } else if monthly_price(versions, &due).is_none() {
                    fate.reject(place, "invalid")
                } else {
                    first_rentals.insert(key);
                    "charged"
                }
            }
        };
        *fate.outcomes.0.entry(outcome).or_default() += 1;
    }
    *fate.outcomes.0.entry("charged").or_default() -= charged.unpaid;
    *fate.outcomes.0.entry("unpaid").or_default() += charged.unpaid;
    fate.conflicts = conflicts.into_values().collect();
    fate
}

impl Fate {
    fn reject(&mut self, place: Place, reason: &'static str) -> &'static str {
        self.single.insert(place, reason);
        "rejected"
    }

    /// Every difference from what the service kept, in words.
    pub(crate) fn differences(&self, kept: &[(Place, String)]) -> Vec<String> {
        let mut differences = Vec::new();
        let mut singles = self.single.clone();
        let mut conflicts: Vec<&BTreeSet<Place>> = self.conflicts.iter().collect();
        for (place, reason) in kept {
            if reason == "conflict" {
                match conflicts.iter().position(|places| places.contains(place)) {
                    Some(index) => drop(conflicts.swap_remove(index)),
                    None => differences.push(format!("{place:?} is no conflict, or kept twice")),
                }
                continue;
            }
            match singles.remove(place) {
                Some(expected) if expected == reason => {}
                other => differences.push(format!("{place:?} kept as {reason}, must be {other:?}")),
            }
        }
        differences.extend(singles.iter().map(|lost| format!("not kept: {lost:?}")));
        differences.extend(conflicts.iter().map(|lost| format!("conflict not kept: {lost:?}")));
        differences
    }
}
