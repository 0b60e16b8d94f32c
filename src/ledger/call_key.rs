//! The identity of a call in its compact form.

use callmeter_core::domain::ids::CallSid;

/// A `CallSid` as stored in `call_keys.call_key`: exact, and 17 bytes in Twilio's usual form.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct CallKey(Form);

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Form {
    /// `CA` and 32 lower-case hexadecimal digits.
    Usual([u8; 17]),
    /// Any other text, after a byte 1.
    Other(Box<[u8]>),
}

impl CallKey {
    /// The key of a SID.
    pub(super) fn new(sid: &CallSid) -> Self {
        let text = sid.as_str();
        if let Some(bytes) = usual_bytes(text.as_bytes()) {
            return Self(Form::Usual(bytes));
        }
        let mut other = Vec::with_capacity(text.len() + 1);
        other.push(1);
        other.extend_from_slice(text.as_bytes());
        Self(Form::Other(other.into_boxed_slice()))
    }

    /// A number in which most keys differ: for sorting before the bytes are compared.
    pub(super) fn leading(&self) -> u64 {
        let first = self.as_bytes().get(1..9).and_then(|bytes| bytes.try_into().ok());
        first.map_or(0, u64::from_be_bytes)
    }

    /// The bytes that are stored.
    pub(super) fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Form::Usual(bytes) => bytes,
            Form::Other(bytes) => bytes,
        }
    }
}

/// The stored bytes of a SID in the usual form.
fn usual_bytes(sid: &[u8]) -> Option<[u8; 17]> {
    let digits: &[u8; 32] = sid.strip_prefix(b"CA")?.try_into().ok()?;
    let mut bytes = [0; 17];
    // No digit has this bit. It is collected, so that there is no branch per digit.
    let mut at_fault = 0;
    for (byte, pair) in bytes[1..].iter_mut().zip(digits.as_chunks::<2>().0) {
        let (high, low) = (DIGITS[usize::from(pair[0])], DIGITS[usize::from(pair[1])]);
        at_fault |= high | low;
        *byte = (high << 4) | (low & 0x0f);
    }
    (at_fault & NO_DIGIT == 0).then_some(bytes)
}

/// Marks a byte that is no lower-case hexadecimal digit.
const NO_DIGIT: u8 = 0x80;

/// The value of each byte as a lower-case hexadecimal digit.
const DIGITS: [u8; 256] = {
    let mut digits = [NO_DIGIT; 256];
    let mut value = 0;
    while value < 16 {
        digits[b"0123456789abcdef"[value as usize] as usize] = value;
        value += 1;
    }
    digits
};

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(sid: &str, first: u8, length: usize) {
        let key = CallKey::new(&CallSid::parse(sid).expect("a sid"));
        assert_eq!((key.as_bytes()[0], key.as_bytes().len()), (first, length), "{sid}");
    }

    #[test]
    fn the_usual_form_is_compact_and_every_other_text_is_kept_as_it_is() {
        check("CA0123456789abcdef0123456789abcdef", 0, 17);
        check("CA0123456789ABCDEF0123456789abcdef", 1, 35);
        check("CA0123456789abcdef0123456789abcde", 1, 34);
        check("call SID", 1, 9);
        check("CA0123456789abcdef0123456789abcdeg", 1, 35);
        check("CA0123456789abcdef:123456789abcdef", 1, 35);
        check("\u{e9}0123456789abcdef0123456789abcdef", 1, 35);
    }

    #[test]
    fn the_compact_form_is_the_value_of_the_digits() {
        let key =
            CallKey::new(&CallSid::parse("CA00017f80abcdefff1032547698badcfe").expect("a sid"));
        let expected = hex::decode("0000017f80abcdefff1032547698badcfe").expect("digits");
        assert_eq!(key.as_bytes(), expected);
        assert_eq!(key.leading(), 0x0001_7f80_abcd_efff);
    }
}
