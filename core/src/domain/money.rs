//! Money as a whole number of micro-dollars.
//!
//! Place in the flow: every amount, balance, price and threshold of the system, from the text of
//! a catalog or a request to the `BIGINT` of a row and the integer of a Lua script.
//!
//! It must never become a float, nor wrap: arithmetic is checked, and the caller decides what an
//! overflow means.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use thiserror::Error;

const DECIMAL_PLACES: usize = 6;
const MICROS_PER_DOLLAR: u64 = 1_000_000;

/// US dollars in micro-dollars, signed: `0.014` dollars are 14,000.
///
/// Written, also in JSON, as a string with exactly six decimal places: `"0.014000"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Money(i64);

impl Money {
    /// No money.
    pub const ZERO: Self = Self(0);

    /// The largest amount that a Lua number, a double, counts exactly: 2^53 - 1 micro-dollars.
    /// Amounts that go into Redis are asserted to be within plus and minus this.
    pub const EXACT_IN_LUA: Self = Self((1 << 53) - 1);

    /// Takes an amount in micro-dollars.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Returns the amount in micro-dollars.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Reads dollars such as `10`, `0.014` or `-1.500000`: an optional minus, digits, and at most
    /// six decimal places. No plus sign, exponent, spaces or separators.
    ///
    /// # Errors
    /// [`MoneyError`] with the rule that the text breaks; the sender has to correct it.
    pub fn parse(text: &str) -> Result<Self, MoneyError> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text),
        };
        let (whole, fraction) = match digits.split_once('.') {
            Some((whole, fraction)) if !fraction.is_empty() => (whole, fraction),
            Some(_) => return Err(MoneyError::not_an_amount(text)),
            None => (digits, ""),
        };
        let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) {
            return Err(MoneyError::not_an_amount(text));
        }
        if fraction.len() > DECIMAL_PLACES {
            return Err(MoneyError::TooPrecise { text: excerpt(text) });
        }
        let out_of_range = || MoneyError::OutOfRange { text: excerpt(text) };
        let padding = std::iter::repeat_n(b'0', DECIMAL_PLACES - fraction.len());
        let magnitude = whole
            .bytes()
            .chain(fraction.bytes())
            .chain(padding)
            .try_fold(0_i128, |micros, digit| {
                micros.checked_mul(10)?.checked_add(i128::from(digit - b'0'))
            });
        let magnitude = magnitude.ok_or_else(out_of_range)?;
        let micros = if negative { -magnitude } else { magnitude };
        i64::try_from(micros).map(Self).map_err(|_| out_of_range())
    }

    /// Adds; `None` beyond the range of 64 bits.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// Subtracts; `None` beyond the range of 64 bits.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }

    /// Changes the sign; `None` for the one amount that has no counterpart.
    pub fn checked_neg(self) -> Option<Self> {
        self.0.checked_neg().map(Self)
    }

    /// True if it is below zero.
    pub const fn is_negative(self) -> bool {
        self.0 < 0
    }

    /// True if it is above zero.
    pub const fn is_positive(self) -> bool {
        self.0 > 0
    }

    /// True if it is zero.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// Takes a computed amount; an error beyond the range of 64 bits, never a wrap.
    pub(crate) fn try_from_wide(micros: i128) -> Result<Self, MoneyError> {
        i64::try_from(micros).map(Self).map_err(|_| MoneyError::Overflow)
    }

    /// Takes a computed amount of zero or more; saturates at 64 bits.
    pub(crate) fn from_wide_saturating(micros: i128) -> Self {
        debug_assert!(micros >= 0, "{micros} is cut at the upper end only");
        Self(i64::try_from(micros).unwrap_or(i64::MAX))
    }
}

/// Writes dollars with exactly six decimal places: `0.014000`, `-1.500000`.
impl fmt::Display for Money {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let magnitude = self.0.unsigned_abs();
        let sign = if self.is_negative() { "-" } else { "" };
        let (dollars, micros) = (magnitude / MICROS_PER_DOLLAR, magnitude % MICROS_PER_DOLLAR);
        if formatter.width().is_none() {
            return write!(formatter, "{sign}{dollars}.{micros:06}");
        }
        formatter.pad_integral(!self.is_negative(), "", &format!("{dollars}.{micros:06}"))
    }
}

impl FromStr for Money {
    type Err = MoneyError;

    fn from_str(text: &str) -> Result<Self, MoneyError> {
        Self::parse(text)
    }
}

impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Accepts only a string. Even a whole JSON number is refused: the sender's next amount would be a
/// float.
impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(AmountVisitor)
    }
}

struct AmountVisitor;

impl Visitor<'_> for AmountVisitor {
    type Value = Money;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an amount in dollars as a string such as \"0.014000\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Money, E> {
        Money::parse(text).map_err(E::custom)
    }
}

/// Why a text is no amount, or a computation of amounts fails.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum MoneyError {
    /// Not of the form `-?digits[.digits]`.
    #[error("{text:?} is not an amount in dollars such as \"0.014\"")]
    NotAnAmount {
        /// The text, shortened.
        text: Box<str>,
    },
    /// Finer than a micro-dollar.
    #[error("{text:?} has more than 6 decimal places")]
    TooPrecise {
        /// The text, shortened.
        text: Box<str>,
    },
    /// Beyond 64 bits of micro-dollars, about 9.2 trillion dollars.
    #[error("{text:?} is beyond the range of amounts, 9223372036854.775807 dollars")]
    OutOfRange {
        /// The text, shortened.
        text: Box<str>,
    },
    /// Below zero, where only zero and more are valid.
    #[error("{amount} dollars is negative")]
    Negative {
        /// The amount.
        amount: Money,
    },
    /// A computed amount is beyond 64 bits of micro-dollars.
    #[error("the amount is beyond the range of 9223372036854.775807 dollars")]
    Overflow,
}

impl MoneyError {
    fn not_an_amount(text: &str) -> Self {
        Self::NotAnAmount { text: excerpt(text) }
    }
}

/// Shortens hostile input for error messages.
fn excerpt(text: &str) -> Box<str> {
    const CHARS_MAX: usize = 40;
    match text.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]).into(),
        None => text.into(),
    }
}
