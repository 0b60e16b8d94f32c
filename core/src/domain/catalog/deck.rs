//! Rates by prefix of the far end.
//!
//! Place in the flow: the last look-up before a price; also what authorization asks whether a
//! destination is blocked.
//!
//! It must never inherit: a plan's deck holds the plan's rates alone (docs/charging.md, "What
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
    /// The lengths that prefixes have, in bytes, longest first: a look-up tries each once.
    lengths: Vec<usize>,
}

impl RateDeck {
    /// Takes the rate of every destination that no prefix names, and the exceptions.
    pub fn new(default_rate: RatePerMinute, by_prefix: BTreeMap<Prefix, PrefixRate>) -> Self {
        let lengths: BTreeSet<usize> =
            by_prefix.keys().map(|prefix| prefix.as_str().len()).collect();
        Self { default_rate, by_prefix, lengths: lengths.into_iter().rev().collect() }
    }

    /// Gives the rate where no prefix matches.
    pub const fn default_rate(&self) -> RatePerMinute {
        self.default_rate
    }

    /// Gives the exceptions, in order of prefix.
    pub fn prefixes(&self) -> impl Iterator<Item = (&str, PrefixRate)> {
        self.by_prefix.iter().map(|(prefix, rate)| (prefix.as_str(), *rate))
    }

    /// Finds the rate for a far end by its longest matching prefix. An end that is absent or does
    /// not begin with `+` (`client:…`, `sip:…`, `anonymous`) takes the default rate; so does a
    /// blocked one, which is charged like any other once it was made.
    pub fn rate_for(&self, far_end: Option<&str>) -> MatchedRate<'_> {
        // Every prefix begins with `+`, so what does not begin with it matches none.
        let number = far_end.unwrap_or_default();
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

/// The rate of one far end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MatchedRate<'a> {
    /// What a minute costs; the default rate where blocked.
    pub rate: RatePerMinute,
    /// The prefix that decided, `None` for the default.
    pub prefix: Option<&'a str>,
    /// Whether authorization refuses the destination.
    pub blocked: bool,
}

/// What a prefix says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrefixRate {
    /// A rate of its own.
    PerMinute(RatePerMinute),
    /// No calls there.
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

    /// Gives the text, with its `+`.
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
