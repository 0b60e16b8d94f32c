//! Billing increments: how many seconds of a call are billed.
//!
//! Place in the flow: the first step of rating; allowance and wallet then share the result.
//!
//! It must never depend on who pays: the time of the whole call is billed once, and its two parts
//! are not rounded again.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use super::named::named_enum;

/// A minimum of `initial` seconds, then whole `increment`s: `60/60` bills by the minute, `1/1` by
/// the second, `30/6` thirty seconds and then tenths of a minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Increments {
    initial: u32,
    increment: u32,
}

impl Increments {
    /// The longest `initial` and `increment`, in seconds.
    pub const SECONDS_MAX: u32 = 3600;

    /// Whole minutes, as Twilio bills: the default of the catalog.
    pub const PER_MINUTE: Self = Self { initial: 60, increment: 60 };

    /// Takes both lengths in seconds.
    ///
    /// # Errors
    /// [`IncrementsError::OutOfRange`] if one is not within 1 to 3600.
    pub fn new(initial: u32, increment: u32) -> Result<Self, IncrementsError> {
        let in_range = |seconds: u32| (1..=Self::SECONDS_MAX).contains(&seconds);
        if in_range(initial) && in_range(increment) {
            Ok(Self { initial, increment })
        } else {
            Err(IncrementsError::OutOfRange { initial, increment })
        }
    }

    /// Reads `initial/increment`, such as `60/60`.
    ///
    /// # Errors
    /// [`IncrementsError`] if it is not two whole numbers of seconds within 1 to 3600.
    pub fn parse(text: &str) -> Result<Self, IncrementsError> {
        let seconds = |part: &str| {
            let digits_only = part.bytes().all(|byte| byte.is_ascii_digit());
            if digits_only { part.parse().ok() } else { None }
        };
        text.split_once('/')
            .and_then(|(initial, increment)| Some((seconds(initial)?, seconds(increment)?)))
            .ok_or_else(|| IncrementsError::NotIncrements { text: text.into() })
            .and_then(|(initial, increment)| Self::new(initial, increment))
    }

    /// The least billed time, in seconds.
    pub const fn initial(self) -> u32 {
        self.initial
    }

    /// The step after that, in seconds.
    pub const fn increment(self) -> u32 {
        self.increment
    }

    /// Returns the billed seconds of a call: `initial`, then whole `increment`s. A call of 0
    /// seconds is billed `initial`; [`ZeroDurationCompleted`] decides whether it is billed at all.
    /// Saturates at 32 bits.
    pub const fn billed_seconds(self, seconds: u32) -> u32 {
        let beyond = seconds.saturating_sub(self.initial);
        let steps = beyond.div_ceil(self.increment);
        self.initial.saturating_add(steps.saturating_mul(self.increment))
    }

    /// Returns the shortest billing length that covers the seconds: as [`Self::billed_seconds`],
    /// without its limit of 32 bits.
    pub(crate) fn length_holding(self, seconds: u32) -> u64 {
        let steps = seconds.saturating_sub(self.initial).div_ceil(self.increment);
        u64::from(self.initial) + u64::from(steps) * u64::from(self.increment)
    }

    /// Returns the longest billing length within the seconds, or `None` if they are less than the
    /// initial one.
    pub(crate) fn longest_length_within(self, seconds: u64) -> Option<u64> {
        let (initial, increment) = (u64::from(self.initial), u64::from(self.increment));
        let beyond = seconds.checked_sub(initial)?;
        Some(initial + beyond / increment * increment)
    }
}

impl Default for Increments {
    fn default() -> Self {
        Self::PER_MINUTE
    }
}

/// Writes `initial/increment`.
impl fmt::Display for Increments {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.initial, self.increment)
    }
}

impl FromStr for Increments {
    type Err = IncrementsError;

    fn from_str(text: &str) -> Result<Self, IncrementsError> {
        Self::parse(text)
    }
}

impl Serialize for Increments {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Increments {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// Why a text or a pair is no valid increments.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum IncrementsError {
    /// Not of the form `initial/increment`.
    #[error("{text:?} is not of the form \"initial/increment\", such as \"60/60\"")]
    NotIncrements {
        /// The text.
        text: Box<str>,
    },
    /// One of the two is zero, or more than an hour.
    #[error("{initial}/{increment} is not within 1 to 3600 seconds each")]
    OutOfRange {
        /// The minimum, in seconds.
        initial: u32,
        /// The step, in seconds.
        increment: u32,
    },
}

named_enum! {
    /// How a completed call of 0 seconds is billed (the setting `zero_duration_completed`).
    #[derive(Default)]
    pub enum ZeroDurationCompleted ("zero_duration_completed") {
        /// The minimum, as Twilio bills it.
        #[default]
        Minimum = "minimum",
        /// Nothing.
        Free = "free",
    }
}
