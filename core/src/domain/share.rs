//! A share of a whole: from none to all, in millionths.
//!
//! Place in the flow: how many of the calls of an estimate are answered.
//!
//! It must never be a float, nor more than all.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// A share from 0 to 1, in millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Share(u32);

impl Share {
    /// The parts of the whole.
    pub const PARTS: u32 = 1_000_000;

    /// The whole.
    pub const ALL: Self = Self(Self::PARTS);

    /// Takes millionths.
    ///
    /// # Errors
    /// [`ShareError`] above the whole.
    pub const fn from_millionths(millionths: u32) -> Result<Self, ShareError> {
        if millionths <= Self::PARTS { Ok(Self(millionths)) } else { Err(ShareError) }
    }

    /// Returns millionths.
    pub const fn millionths(self) -> u32 {
        self.0
    }

    /// Reads a share such as `0.38`, `1` or `1.0`. Further places than six are rounded.
    ///
    /// # Errors
    /// [`ShareError`] for any other form, and above 1.
    pub fn parse(text: &str) -> Result<Self, ShareError> {
        let millionths = rounded_decimal(text, 6).ok_or(ShareError)?;
        u32::try_from(millionths).map_err(|_| ShareError).and_then(Self::from_millionths)
    }

    /// Returns this share of a number, rounded to the nearest.
    pub fn of(self, number: u64) -> u64 {
        let parts = u128::from(number) * u128::from(self.0) + u128::from(Self::PARTS / 2);
        u64::try_from(parts / u128::from(Self::PARTS)).unwrap_or(u64::MAX)
    }
}

/// Writes the share as a decimal without zeros at its end: `0.38`, `1`.
impl fmt::Display for Share {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, parts) = (self.0 / Self::PARTS, self.0 % Self::PARTS);
        if parts == 0 {
            return write!(formatter, "{whole}");
        }
        let places = format!("{parts:06}");
        write!(formatter, "{whole}.{}", places.trim_end_matches('0'))
    }
}

impl FromStr for Share {
    type Err = ShareError;

    fn from_str(text: &str) -> Result<Self, ShareError> {
        Self::parse(text)
    }
}

/// A text or number that is no share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("it is not a number from 0 to 1 such as 0.38")]
pub struct ShareError;

/// Reads `digits[.digits]` as a whole number of the last place kept, halves rounded up. `None` for
/// another form, and beyond 64 bits.
pub fn rounded_decimal(text: &str, places: u32) -> Option<u64> {
    let (whole, fraction) = match text.split_once('.') {
        Some((whole, fraction)) if !fraction.is_empty() => (whole, fraction),
        Some(_) => return None,
        None => (text, ""),
    };
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) {
        return None;
    }
    let places = usize::try_from(places).ok()?;
    let kept = fraction.bytes().chain(std::iter::repeat(b'0')).take(places);
    let units = whole.bytes().chain(kept).try_fold(0_u64, |units, digit| {
        units.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
    })?;
    let rounds_up = fraction.as_bytes().get(places).is_some_and(|digit| *digit >= b'5');
    units.checked_add(u64::from(rounds_up))
}
