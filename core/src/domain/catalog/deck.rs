//! Rates by prefix of the rated number.
//!
//! Place in the flow: the last look-up before a price; authorization also reads here whether a
//! destination is blocked.
//!
//! It must never inherit: a plan's deck has only the plan's own rates (docs/charging.md, "What
//! pays").

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;

use crate::domain::rate::RatePerMinute;

/// A default rate and exceptions by prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateDeck {
    default_rate: RatePerMinute,
    by_prefix: BTreeMap<Prefix, PrefixRate>,
    /// The lengths of all prefixes in bytes, longest first: a look-up tries each once.
    lengths: Vec<usize>,
}

impl RateDeck {
    /// Takes the rate of all destinations without a prefix, and the exceptions.
    pub fn new(default_rate: RatePerMinute, by_prefix: BTreeMap<Prefix, PrefixRate>) -> Self {
        let lengths: BTreeSet<usize> =
            by_prefix.keys().map(|prefix| prefix.as_str().len()).collect();
        Self { default_rate, by_prefix, lengths: lengths.into_iter().rev().collect() }
    }

    /// Returns the rate if no prefix matches.
    pub const fn default_rate(&self) -> RatePerMinute {
        self.default_rate
    }

    /// Returns the exceptions, in order of prefix.
    pub fn prefixes(&self) -> impl Iterator<Item = (&str, PrefixRate)> {
        self.by_prefix.iter().map(|(prefix, rate)| (prefix.as_str(), *rate))
    }

    /// Finds the rate of a number by its longest matching prefix. The default rate applies if the
    /// number is absent, does not begin with `+` (`client:…`, `sip:…`, `anonymous`), or is blocked:
    /// a call to a blocked number is charged like any other once it was made.
    pub fn rate_for(&self, rated_number: Option<&str>) -> MatchedRate<'_> {
        // Every prefix begins with `+`, so other texts match none.
        let number = rated_number.unwrap_or_default();
        let longest = self.lengths.iter().find_map(|&length| {
            let candidate = number.get(..length)?;
            self.by_prefix.get_key_value(candidate)
        });
        let Some((prefix, prefix_rate)) = longest else {
            return MatchedRate { rate: self.default_rate, prefix: None, blocked: false };
        };
        let (rate, blocked) = match *prefix_rate {
            PrefixRate::PerMinute(rate) => (rate, false),
            PrefixRate::Blocked => (self.default_rate, true),
        };
        MatchedRate { rate, prefix: Some(prefix.as_str()), blocked }
    }
}

/// The rate of one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MatchedRate<'a> {
    /// The price of a minute; the default rate if blocked.
    pub rate: RatePerMinute,
    /// The matching prefix, `None` for the default.
    pub prefix: Option<&'a str>,
    /// True if authorization refuses the destination.
    pub blocked: bool,
}

/// The rule of a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrefixRate {
    /// A rate of its own.
    PerMinute(RatePerMinute),
    /// Calls are refused.
    Blocked,
}

/// The beginning of E.164 numbers: `+` and digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix(Box<str>);

impl Prefix {
    /// Reads a prefix of the form `^\+[0-9]+$`.
    ///
    /// # Errors
    /// [`PrefixError`] for any other form.
    pub fn parse(text: &str) -> Result<Self, PrefixError> {
        let digits = text.strip_prefix('+').unwrap_or_default();
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(PrefixError { text: text.into() });
        }
        Ok(Self(text.into()))
    }

    /// Returns the text, with its `+`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Prefix {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// A text that is no prefix.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{text:?} is not a \"+\" and digits")]
pub struct PrefixError {
    text: Box<str>,
}
