//! The name of a number at Twilio, by which a purchase knows its own number again: also after a
//! crash, and in a ledger that was restored.

use callmeter_core::domain::{NumberId, NumberType};

/// The digits of the ledger's id in a name. Twilio allows 64 characters.
const LEDGER_DIGITS: usize = 8;

/// What a name says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// The beginning of the ledger's id.
    ledger: String,
    /// The number.
    pub(super) id: NumberId,
    /// ISO 3166.
    pub(super) country: String,
    /// Its type.
    pub(super) number_type: NumberType,
}

impl Mark {
    /// The mark of a number of a ledger.
    pub(super) fn new(ledger: &str, id: &NumberId, kind: (&str, NumberType)) -> Self {
        Self {
            ledger: beginning(ledger),
            id: id.clone(),
            country: kind.0.to_owned(),
            number_type: kind.1,
        }
    }

    /// True if the number was bought by this ledger.
    pub(super) fn is_of(&self, ledger: &str) -> bool {
        self.ledger == beginning(ledger)
    }

    /// Reads a name; `None`: it is none of ours.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let mut words = name.split(' ');
        let mut word = || words.next();
        if word()? != "callmeter" {
            return None;
        }
        let (ledger, id) = (word()?.to_owned(), NumberId::parse(word()?).ok()?);
        let (country, letter) = (word()?.to_owned(), word()?);
        let number_type = NumberType::ALL.iter().find(|kind| letter_of(**kind) == letter)?;
        Some(Self { ledger, id, country, number_type: *number_type })
    }
}

impl std::fmt::Display for Mark {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { ledger, id, country, number_type } = self;
        write!(formatter, "callmeter {ledger} {id} {country} {}", letter_of(*number_type))
    }
}

fn beginning(ledger: &str) -> String {
    ledger.chars().filter(char::is_ascii_hexdigit).take(LEDGER_DIGITS).collect()
}

const fn letter_of(number_type: NumberType) -> &'static str {
    match number_type {
        NumberType::Local => "L",
        NumberType::Mobile => "M",
        NumberType::National => "N",
        NumberType::TollFree => "T",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_reads_back_and_fits_into_twilios_name() {
        let ledger = "0f8fad5b-d9cb-469f-a165-70867728950e";
        let id = NumberId::from_random([7; 16]);
        for number_type in NumberType::ALL {
            let mark = Mark::new(ledger, &id, ("US", *number_type));
            let name = mark.to_string();
            assert!(name.len() <= 64, "{name}");
            assert_eq!(Mark::parse(&name), Some(mark.clone()));
            assert!(mark.is_of(ledger) && !mark.is_of("1f8fad5b-d9cb-469f-a165-70867728950e"));
        }
        for name in ["", "callmeter", "(201) 555-1000", "callmeter 0f8fad5b nb_1 US L"] {
            assert_eq!(Mark::parse(name), None, "{name}");
        }
    }
}
