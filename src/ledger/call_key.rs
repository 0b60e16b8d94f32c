//! The identity of a call in its compact form.

use callmeter_core::domain::ids::CallSid;

/// A `CallSid`, as `call_keys.call_key` stores it: exact, and 17 bytes for Twilio's usual form.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct CallKey(Form);

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Form {
    /// `CA` and 32 lower-case hexadecimal digits.
    Usual([u8; 17]),
    /// Any other text, behind a byte 1.
    Other(Box<[u8]>),
}

impl CallKey {
    /// The key of a sid.
    pub(super) fn of(sid: &CallSid) -> Self {
        let text = sid.as_str();
        let mut usual = [0; 17];
        let is_usual = text.strip_prefix("CA").is_some_and(|digits| {
            !digits.bytes().any(|byte| byte.is_ascii_uppercase())
                && hex::decode_to_slice(digits, &mut usual[1..]).is_ok()
        });
        if is_usual {
            return Self(Form::Usual(usual));
        }
        let mut other = Vec::with_capacity(text.len() + 1);
        other.push(1);
        other.extend_from_slice(text.as_bytes());
        Self(Form::Other(other.into_boxed_slice()))
    }

    /// The bytes that are stored.
    pub(super) fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Form::Usual(bytes) => bytes,
            Form::Other(bytes) => bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(sid: &str, first: u8, length: usize) {
        let key = CallKey::of(&CallSid::parse(sid).expect("a sid"));
        assert_eq!((key.as_bytes()[0], key.as_bytes().len()), (first, length), "{sid}");
    }

    #[test]
    fn the_usual_form_is_compact_and_every_other_text_is_kept_as_it_is() {
        check("CA0123456789abcdef0123456789abcdef", 0, 17);
        check("CA0123456789ABCDEF0123456789abcdef", 1, 35);
        check("CA0123456789abcdef0123456789abcde", 1, 34);
        check("call SID", 1, 9);
    }
}
