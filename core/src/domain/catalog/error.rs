//! Why a catalog file is refused.
//!
//! Place in the flow: printed by `config check`, at start, and when a new file is refused.
//!
//! It must be understood without the file: what is wrong, where, and what to do, in one line.

use thiserror::Error;

use super::deck::PrefixError;
use crate::domain::ids::IdError;
use crate::domain::increments::IncrementsError;
use crate::domain::money::{Money, MoneyError};
use crate::domain::named::UnknownName;

/// The first error in a catalog file.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line}, {path}: {problem}")]
pub struct CatalogError {
    /// The line, from 1.
    pub line: usize,
    /// The key, such as `plans[0].rates[1].prefix`; `catalog` for the file as a whole.
    pub path: Box<str>,
    /// What is wrong and what to do.
    pub problem: CatalogProblem,
}

/// What can be wrong in a catalog file.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CatalogProblem {
    /// The file is too large.
    #[error("the file has {bytes} bytes; shorten it to {max}")]
    FileTooLarge {
        /// Its size.
        bytes: usize,
        /// The largest allowed size.
        max: usize,
    },
    /// Not TOML.
    #[error("not valid TOML: {message}")]
    Syntax {
        /// The message of the parser.
        message: Box<str>,
    },
    /// A required key is absent.
    #[error("missing; add {example}")]
    Missing {
        /// What to write.
        example: &'static str,
    },
    /// An unknown key.
    #[error("unknown key; remove it, or use one of {known}")]
    UnknownKey {
        /// The known keys.
        known: Box<str>,
    },
    /// The wrong type of value.
    #[error("found {found}; write {expected}")]
    WrongType {
        /// The type found.
        found: &'static str,
        /// What to write.
        expected: &'static str,
    },
    /// Not a valid amount.
    #[error("{0}; write dollars with at most 6 decimal places, such as \"0.014\"")]
    Amount(MoneyError),
    /// Higher than any rate or price may be.
    #[error("{amount} dollars is more than {max}; write a smaller amount")]
    AmountTooLarge {
        /// The amount.
        amount: Money,
        /// The highest allowed.
        max: Money,
    },
    /// A whole number out of its range.
    #[error("{value} is out of range; write a whole number from 0 to {max}")]
    OutOfRange {
        /// The number as written.
        value: Box<str>,
        /// The highest allowed.
        max: u64,
    },
    /// Not valid increments.
    #[error("{0}; write seconds such as \"60/60\"")]
    Increments(IncrementsError),
    /// Not a valid plan id.
    #[error("{0}; write an id such as \"starter\"")]
    PlanId(IdError),
    /// A name that is empty, too long or not printable.
    #[error("not a name; write 1 to {max} printable characters")]
    Name {
        /// The most characters.
        max: usize,
    },
    /// No policy has that name.
    #[error("{0}; write one of these")]
    UnknownName(UnknownName),
    /// Not a valid prefix.
    #[error("{0}; write the beginning of an E.164 number, such as \"+44\"")]
    Prefix(PrefixError),
    /// A prefix that is both priced and blocked, or neither.
    #[error("a prefix has either `per_minute` or `blocked = true`; write one of them")]
    PricedOrBlocked,
    /// Not a country code.
    #[error("{country:?} is not a country; write two letters of ISO 3166, such as \"US\"")]
    Country {
        /// The text.
        country: Box<str>,
    },
    /// Not a full date and time.
    #[error("not an instant; write date, time and offset, such as 2026-12-01T00:00:00Z")]
    Instant,
    /// A repetition of something that must be unique.
    #[error("{name} comes twice; remove one")]
    Duplicate {
        /// The plan, prefix or number.
        name: Box<str>,
    },
}
