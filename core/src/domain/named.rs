//! Closed sets of names: how an enum is read from and written as text.
//!
//! Place in the flow: statuses, kinds and policies pass Kafka, Postgres, settings and HTTP as text;
//! each has one spelling, declared with its variant.
//!
//! It must never guess: an unknown name is an error that lists the known ones.

use thiserror::Error;

/// A text that is none of the expected names.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("unknown {what} {name:?}; known are {known}")]
pub struct UnknownName {
    /// The kind of name, such as `call status`.
    pub what: &'static str,
    /// The text.
    pub name: Box<str>,
    /// The known names, separated by commas.
    pub known: Box<str>,
}

/// Declares an enum whose variants have one spelling each, with `ALL`, `as_str`, `parse`, `Display`
/// and serde by that spelling.
macro_rules! named_enum {
    (
        $(#[$meta:meta])*
        pub enum $type:ident ($what:literal) {
            $( $(#[$variant_meta:meta])* $variant:ident = $name:literal, )+
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $type {
            $( $(#[$variant_meta])* #[doc = concat!(" Written `", $name, "`.")] $variant, )+
        }

        impl $type {
            /// Every value, in the order of declaration.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            #[doc = concat!("Gives the one spelling of this ", $what, ".")]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            #[doc = concat!("Reads a ", $what, " by its one spelling.")]
            ///
            /// # Errors
            /// [`UnknownName`](crate::domain::UnknownName) lists the known spellings.
            pub fn parse(text: &str) -> Result<Self, $crate::domain::UnknownName> {
                match text {
                    $($name => Ok(Self::$variant),)+
                    _ => Err($crate::domain::UnknownName {
                        what: $what,
                        name: text.into(),
                        known: [$($name),+].join(", ").into(),
                    }),
                }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $type {
            type Err = $crate::domain::UnknownName;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::parse(text)
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let name = String::deserialize(deserializer)?;
                Self::parse(&name).map_err(serde::de::Error::custom)
            }
        }
    };
}

pub(crate) use named_enum;
