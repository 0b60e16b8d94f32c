//! Ids: ours and Twilio's.
//!
//! Place in the flow: decoded from events and requests, then keys of rows, maps and Redis.
//!
//! It must never accept what Postgres, Redis or a log cannot hold: empty texts, NUL, control
//! characters, more than 64 bytes. Otherwise Twilio's ids are accepted unchanged, since Twilio may
//! change their alphabets. Rules for an account id given by an administrator are stricter.

use thiserror::Error;

const TWILIO_ACCOUNT_SID: &str = "Twilio account SID";
/// The most bytes of an id.
pub const ID_BYTES_MAX: usize = 64;

/// Why a text is no id.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum IdError {
    /// It is empty.
    #[error("the {what} is empty")]
    Empty {
        /// Which id.
        what: &'static str,
    },
    /// It has more than 64 bytes.
    #[error("the {what} has {bytes} bytes, more than 64")]
    TooLong {
        /// Which id.
        what: &'static str,
        /// Its size.
        bytes: usize,
    },
    /// It has a character that this id cannot have.
    #[error("the {what} has {character:?} at byte {position}: {allowed}")]
    InvalidCharacter {
        /// Which id.
        what: &'static str,
        /// The first invalid character.
        character: char,
        /// Its position, in bytes.
        position: usize,
        /// What is allowed.
        allowed: &'static str,
    },
    /// It is an id, but not of the form that Twilio gives to accounts.
    #[error("the {what} is not AC and 32 hexadecimal digits")]
    NotIssued {
        /// Which id.
        what: &'static str,
    },
    /// It has not the one form of this id, such as `pi_` and letters and digits.
    #[error("the {what} is not {form}")]
    NotOfForm {
        /// Which id.
        what: &'static str,
        /// The form.
        form: &'static str,
    },
}

/// The alphabet of an id.
struct Alphabet {
    what: &'static str,
    /// True if every visible ASCII character is allowed anywhere: a text of only such characters is
    /// quickly known to be valid.
    has_all_graphic: bool,
    allows: fn(usize, char) -> bool,
    allowed: &'static str,
}

/// Our own ids: safe in a URL, a file name and a shell without quoting.
const fn own(what: &'static str) -> Alphabet {
    Alphabet {
        what,
        has_all_graphic: false,
        allows: |position, character| {
            character.is_ascii_alphanumeric()
                || position > 0 && matches!(character, '.' | '_' | '-')
        },
        allowed: "letters, digits, '.', '_' and '-' are allowed, the first a letter or digit",
    }
}

/// Twilio's ids: any text without control characters, even `call SID`.
const fn foreign(what: &'static str) -> Alphabet {
    Alphabet {
        what,
        has_all_graphic: true,
        allows: |_, character| !character.is_control(),
        allowed: "control characters are not allowed",
    }
}

const fn foreign_without_spaces(what: &'static str) -> Alphabet {
    Alphabet {
        what,
        has_all_graphic: true,
        allows: |_, character| !character.is_control() && !character.is_whitespace(),
        allowed: "spaces and control characters are not allowed",
    }
}

impl Alphabet {
    fn check(&self, text: &str) -> Result<(), IdError> {
        let what = self.what;
        if text.is_empty() {
            return Err(IdError::Empty { what });
        }
        if text.len() > ID_BYTES_MAX {
            return Err(IdError::TooLong { what, bytes: text.len() });
        }
        if self.has_all_graphic && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Ok(());
        }
        let at_fault =
            text.char_indices().find(|&(position, character)| !(self.allows)(position, character));
        match at_fault {
            None => Ok(()),
            Some((position, character)) => {
                let allowed = self.allowed;
                Err(IdError::InvalidCharacter { what, character, position, allowed })
            }
        }
    }
}

/// Declares an id: a validated text that is cheap to clone and looked up by `&str`. The second
/// argument has a method `check`.
macro_rules! id {
    ($(#[$meta:meta])* $type:ident, $rule:expr) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
        #[serde(transparent)]
        pub struct $type(std::sync::Arc<str>);

        impl $type {
            /// Reads the id.
            ///
            /// [`IdError`](crate::domain::IdError) if it is empty, too long, or has a character
            /// that it cannot have.
            pub fn parse(text: &str) -> Result<Self, $crate::domain::IdError> {
                $rule.check(text)?;
                Ok(Self(text.into()))
            }

            /// Returns the text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl std::str::FromStr for $type {
            type Err = $crate::domain::IdError;

            fn from_str(text: &str) -> Result<Self, $crate::domain::IdError> {
                Self::parse(text)
            }
        }

        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Self::parse(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

pub(super) use id;

id!(
    /// An account of ours: 1 to 64 letters, digits, `.`, `_` and `-`, the first a letter or digit.
    AccountId,
    own("account id")
);
id!(
    /// A plan of the catalog: spelled like an account id.
    PlanId,
    own("plan id")
);
id!(
    /// The Twilio account of a call (`AccountSid`): no spaces. Only
    /// [`TwilioAccountSid::parse_issued`] requires `AC…`.
    TwilioAccountSid,
    foreign_without_spaces(TWILIO_ACCOUNT_SID)
);
id!(
    /// One leg of a call (`CallSid`): unique under its `AccountSid` only.
    CallSid,
    foreign("call SID")
);
id!(
    /// A rented number (`PhoneNumberSid`).
    PhoneNumberSid,
    foreign("phone number SID")
);

/// True for an id as Twilio issues them: two letters, which say of what, and 32 hexadecimal digits.
pub fn is_twilio_sid(text: &str, letters: &str) -> bool {
    text.strip_prefix(letters).is_some_and(|digits| {
        digits.len() == 32 && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
    })
}

impl TwilioAccountSid {
    /// Reads an id given by an administrator: `AC` and 32 hexadecimal digits, as Twilio issues
    /// them. Any other is a mistake, since no call will ever have it. Ids in records and in the
    /// ledger are read by [`Self::parse`].
    ///
    /// # Errors
    /// [`IdError`] as for [`Self::parse`], and if it has another form.
    pub fn parse_issued(text: &str) -> Result<Self, IdError> {
        let sid = Self::parse(text)?;
        if is_twilio_sid(text, "AC") {
            Ok(sid)
        } else {
            Err(IdError::NotIssued { what: TWILIO_ACCOUNT_SID })
        }
    }
}
