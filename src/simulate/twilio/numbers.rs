//! The numbers of the local Twilio: those for sale, and those that its accounts own. A number that is
//! owned is not for sale.

use std::collections::BTreeMap;

use callmeter_core::domain::NumberType;
use chrono::{DateTime, Utc};

/// Numbers that are for sale of each country and type, where nothing else is said.
const FOR_SALE: u32 = 40;
/// Twilio's types of numbers.
pub(super) const TYPES: [NumberType; 4] =
    [NumberType::Local, NumberType::Mobile, NumberType::National, NumberType::TollFree];

/// A number that somebody owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedNumber {
    /// `PN…`.
    pub sid: String,
    /// The account that owns it.
    pub account_sid: String,
    /// E.164.
    pub phone_number: String,
    /// What it was bought and updated with, by Twilio's names.
    pub parameters: BTreeMap<String, String>,
    /// When it was bought.
    pub created_at: DateTime<Utc>,
}

/// A request about numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumberRequest {
    /// Which are for sale.
    Search,
    /// Buy one.
    Buy,
    /// List those that an account owns.
    List,
    /// Give one back.
    Remove,
}

/// What goes wrong with a request about numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumberFault {
    /// No answer, and no effect.
    HangBeforeEffect,
    /// It has its effect, and no answer.
    HangAfterEffect,
    /// 500 without effect.
    ServerErrorBeforeEffect,
    /// 500 after its effect.
    ServerErrorAfterEffect,
    /// 400 with this code, without effect.
    Refuse(u32),
}

/// The state of numbers.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    /// By sid.
    pub(super) owned: BTreeMap<String, OwnedNumber>,
    /// What the number's country asks for: `any`, `local`, `foreign`.
    pub(super) address_requirements: BTreeMap<String, String>,
    /// Countries and types that ask for a bundle.
    pub(super) regulated: Vec<(String, NumberType)>,
    /// Dollars a month.
    pub(super) prices: BTreeMap<(String, NumberType), String>,
    /// For the next requests of a kind; how many, 0: all.
    pub(super) faults: Vec<(NumberRequest, NumberFault, u32)>,
    /// Requests of each kind so far.
    pub(super) requests: Vec<NumberRequest>,
    pub(super) bought: u32,
}

/// The numbers of a country and type that exist, owned or not.
pub(super) fn existing(country: &str, number_type: NumberType) -> impl Iterator<Item = String> {
    let prefix = match (country, number_type) {
        ("US", NumberType::TollFree) => "+1800555",
        ("US", _) => "+1201555",
        ("CA", NumberType::TollFree) => "+1888555",
        ("CA", _) => "+1204555",
        ("GB", NumberType::Mobile) => "+447700900",
        ("GB", _) => "+442079460",
        ("DE", NumberType::National) => "+4932221",
        ("DE", _) => "+4930230",
        _ => "+99900",
    };
    (0..FOR_SALE).map(move |number| format!("{prefix}{:04}", 1_000 + number))
}

/// The country and type of a number; the first where several have it.
pub(super) fn kind_of(phone_number: &str) -> Option<(&'static str, NumberType)> {
    let kinds = ["US", "CA", "GB", "DE"].into_iter().flat_map(|it| TYPES.map(|kind| (it, kind)));
    kinds.into_iter().find(|(country, kind)| existing(country, *kind).any(|it| it == phone_number))
}

impl Numbers {
    pub(super) fn is_owned(&self, phone_number: &str) -> bool {
        self.owned.values().any(|owned| owned.phone_number == phone_number)
    }

    /// A number of an account, by its sid.
    pub(super) fn find(&mut self, account_sid: &str, sid: &str) -> Option<&mut OwnedNumber> {
        self.owned.get_mut(sid).filter(|owned| owned.account_sid == account_sid)
    }

    /// The fault of a request, which counts as used.
    pub(super) fn take_fault(&mut self, request: NumberRequest) -> Option<NumberFault> {
        self.requests.push(request);
        let place = self.faults.iter().position(|(of, _, _)| *of == request)?;
        let (_, fault, times) = &mut self.faults[place];
        let fault = *fault;
        match times {
            0 => {}
            1 => drop(self.faults.remove(place)),
            more => *more -= 1,
        }
        Some(fault)
    }
}
