//! Numbers that are bought through us: their ids and states.
//!
//! Place in the flow: a purchase debits the wallet and buys the number at Twilio; its later periods
//! are rents.
//!
//! An id must never come from a sequence: after a restored backup a sequence gives an id again, and
//! a number at Twilio names the purchase by it.

use super::ids::id;
use super::named::named_enum;
use super::payment::{Pattern, is_digits, random_id};

id!(
    /// A number of ours: `nb_` and 32 lower-case hexadecimal digits.
    NumberId,
    Pattern {
        what: "number id",
        prefixes: &["nb_"],
        allows: is_digits,
        form: "nb_ and 32 lower-case hexadecimal digits",
    }
);

impl NumberId {
    /// Creates the id from 16 random bytes.
    pub fn from_random(bytes: [u8; 16]) -> Self {
        Self(random_id("nb_", bytes).into())
    }
}

named_enum! {
    /// How far a number is.
    pub enum NumberStatus ("number status") {
        /// Asked for, and not bought yet.
        Pending = "pending",
        /// Bought, and its periods are paid.
        Active = "active",
        /// Bought, and a period is not paid; further attempts follow.
        Unpaid = "unpaid",
        /// A period was not paid in time; its release is asked for.
        Suspended = "suspended",
        /// To be given back to Twilio.
        Releasing = "releasing",
        /// Given back; final.
        Released = "released",
        /// Not bought, and nothing is debited; final.
        Failed = "failed",
    }
}

impl NumberStatus {
    /// True if the number never changes again.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Released | Self::Failed)
    }
}

/// True for E.164: `+` and 7 to 15 digits, the first not zero.
pub fn is_e164(text: &str) -> bool {
    text.strip_prefix('+').is_some_and(|digits| {
        (7..=15).contains(&digits.len())
            && digits.bytes().all(|digit| digit.is_ascii_digit())
            && !digits.starts_with('0')
    })
}

#[cfg(test)]
mod tests {
    use super::{NumberId, is_e164};

    #[test]
    fn an_id_is_random_digits_after_its_prefix() {
        let id = NumberId::from_random([0xab; 16]);
        assert_eq!(id.as_str(), "nb_abababababababababababababababab");
        assert_eq!(NumberId::parse(id.as_str()).as_ref(), Ok(&id));
        for text in
            ["nb_", "rf_abababababababababababababababab", "nb_ABABABABABABABABABABABABABABABAB"]
        {
            assert!(NumberId::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_number_is_a_plus_sign_and_digits() {
        assert!(["+15005550100", "+4915123456"].into_iter().all(is_e164));
        for text in ["15005550100", "+", "+05005550100", "+1500555010a", "+1234567890123456", "+12"]
        {
            assert!(!is_e164(text), "{text}");
        }
    }
}
