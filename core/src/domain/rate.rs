//! A price per minute, and what a number of seconds costs at it.
//!
//! Place in the flow: the catalog has the rates; rating and the grant multiply them.
//!
//! It must never be negative, and never round more than once per charge.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

use super::money::{Money, MoneyError};
use super::rounding::divide_half_away_from_zero;

const SECONDS_PER_MINUTE: i128 = 60;
const HALF_A_MINUTE: i128 = SECONDS_PER_MINUTE / 2;

/// US dollars per minute of a call, zero or more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct RatePerMinute(Money);

impl RatePerMinute {
    /// Costs nothing.
    pub const ZERO: Self = Self(Money::ZERO);

    /// Reads dollars per minute such as `0.014`.
    ///
    /// # Errors
    /// As [`Money::parse`]; [`MoneyError::Negative`] below zero.
    pub fn parse(text: &str) -> Result<Self, MoneyError> {
        Self::try_from(Money::parse(text)?)
    }

    /// Takes micro-dollars per minute.
    ///
    /// # Errors
    /// [`MoneyError::Negative`] below zero.
    pub fn from_micros(micros: i64) -> Result<Self, MoneyError> {
        Self::try_from(Money::from_micros(micros))
    }

    /// Returns micro-dollars per minute.
    pub const fn micros(self) -> i64 {
        self.0.micros()
    }

    /// Returns the price of one whole minute.
    pub const fn per_minute(self) -> Money {
        self.0
    }

    /// Prices seconds: `round(rate × seconds / 60)`, half away from zero, once (docs/charging.md,
    /// "What pays").
    ///
    /// # Errors
    /// [`MoneyError::Overflow`] beyond 64 bits of micro-dollars; no accepted rate gets there within
    /// a call's length.
    pub fn price(self, seconds: u32) -> Result<Money, MoneyError> {
        Money::try_from_wide(self.price_wide(u64::from(seconds)))
    }

    /// Prices seconds in micro-dollars without a limit: a product of 63 and 64 bits fits 128.
    pub(crate) fn price_wide(self, seconds: u64) -> i128 {
        let exact = i128::from(self.micros()) * i128::from(seconds);
        divide_half_away_from_zero(exact, SECONDS_PER_MINUTE)
    }

    /// Returns the most seconds whose price is at most this many micro-dollars, zero or more: the
    /// inverse of [`Self::price_wide`]. `None` if the rate is zero: there is no maximum.
    pub(crate) fn seconds_payable(self, micros: i128) -> Option<u64> {
        // (rate × s + 30) / 60 <= micros  is  rate × s < 60 × micros + 30.
        let product_max = SECONDS_PER_MINUTE * micros + HALF_A_MINUTE - 1;
        let seconds = product_max.checked_div(i128::from(self.micros()))?;
        Some(u64::try_from(seconds).unwrap_or(u64::MAX))
    }
}

impl TryFrom<Money> for RatePerMinute {
    type Error = MoneyError;

    fn try_from(amount: Money) -> Result<Self, MoneyError> {
        if amount.is_negative() {
            return Err(MoneyError::Negative { amount });
        }
        Ok(Self(amount))
    }
}

/// Writes dollars per minute with six decimal places: `0.014000`.
impl fmt::Display for RatePerMinute {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl<'de> Deserialize<'de> for RatePerMinute {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let amount = Money::deserialize(deserializer)?;
        Self::try_from(amount).map_err(serde::de::Error::custom)
    }
}
