//! Colours of the wallet page.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A colour of sRGB; as text `#rrggbb`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Colour([u8; 3]);

impl Colour {
    /// White.
    pub const WHITE: Self = Self([255; 3]);
    /// Black.
    pub const BLACK: Self = Self([0; 3]);

    /// This colour with a part of another one, in percent of 0 to 100.
    #[must_use]
    pub fn mixed(self, other: Self, percent: u8) -> Self {
        let of_other = u16::from(percent.min(100));
        let mix = |(own, other): (u8, u8)| {
            let sum = u16::from(own) * (100 - of_other) + u16::from(other) * of_other;
            u8::try_from((sum + 50) / 100).unwrap_or(u8::MAX)
        };
        let [red, green, blue] = self.0;
        let [other_red, other_green, other_blue] = other.0;
        Self([(red, other_red), (green, other_green), (blue, other_blue)].map(mix))
    }

    /// How well one of two colours reads on the other: 1 to 21. Source: WCAG 2.2, "contrast ratio".
    #[expect(clippy::float_arithmetic, reason = "light, not money")]
    pub fn contrast(self, other: Self) -> f64 {
        let (one, other) = (self.luminance(), other.luminance());
        (one.max(other) + 0.05) / (one.min(other) + 0.05)
    }

    /// Source: WCAG 2.2, "relative luminance".
    #[expect(clippy::float_arithmetic, reason = "light, not money")]
    fn luminance(self) -> f64 {
        let linear = self.0.map(|part| {
            let part = f64::from(part) / 255.0;
            if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
        });
        linear.into_iter().zip([0.2126, 0.7152, 0.0722]).map(|(part, weight)| part * weight).sum()
    }
}

impl fmt::Display for Colour {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "#{}", hex::encode(self.0))
    }
}

/// A text that is not a colour.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[error("is not a colour: give #rrggbb")]
pub struct NotAColour;

impl FromStr for Colour {
    type Err = NotAColour;

    fn from_str(text: &str) -> Result<Self, NotAColour> {
        let mut parts = [0; 3];
        let digits = text.strip_prefix('#').ok_or(NotAColour)?;
        hex::decode_to_slice(digits, &mut parts).map_err(|_| NotAColour)?;
        Ok(Self(parts))
    }
}

impl<'de> Deserialize<'de> for Colour {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl Serialize for Colour {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::Colour;

    #[test]
    fn colours_are_read_mixed_and_compared() {
        let teal: Colour = "#0B5F57".parse().expect("a colour");
        assert_eq!(teal.to_string(), "#0b5f57");
        assert_eq!(teal.mixed(Colour::BLACK, 100), Colour::BLACK);
        assert_eq!(Colour::WHITE.mixed(Colour::BLACK, 50).to_string(), "#808080");
        let most = Colour::WHITE.contrast(Colour::BLACK);
        assert!((most - 21.0).abs() < 1e-9, "{most}");
        let grey: Colour = "#767676".parse().expect("a colour");
        let least = grey.contrast(Colour::WHITE);
        assert!((4.54..4.55).contains(&least), "{least}");
        for text in ["0b5f57", "#0b5f5", "#0b5f577", "red", "#0b5f5g", ""] {
            assert!(text.parse::<Colour>().is_err(), "{text}");
        }
    }
}
