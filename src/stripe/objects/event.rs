//! Events, as web hooks bring them.

use std::fmt;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::Identified;

/// Something that happened at Stripe.
#[derive(Clone, Debug, Deserialize)]
pub struct Event {
    /// Its id, the same in every delivery.
    pub id: String,
    /// `payment_intent.succeeded`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// The API version by which the object is written.
    pub api_version: Option<String>,
    /// True in live mode.
    pub livemode: bool,
    /// The connected account that it is about; none: our own.
    pub account: Option<String>,
    /// When it happened.
    pub created: i64,
    data: Data,
}

#[derive(Clone, Deserialize)]
struct Data {
    object: Box<RawValue>,
}

/// A text that is not the object that was expected. It repeats nothing of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// No JSON, or a field is missing or has another type.
    #[error("it cannot be read (line {line}, column {column})")]
    At {
        /// The line of the fault, from 1.
        line: usize,
        /// Its column.
        column: usize,
    },
    /// An object of another kind.
    #[error("it is no {expected}")]
    OtherKind {
        /// The kind that was expected.
        expected: &'static str,
    },
}

impl Unreadable {
    /// The place of a fault: serde's own message may repeat a value.
    pub(in crate::stripe) fn at(error: &serde_json::Error) -> Self {
        Self::At { line: error.line(), column: error.column() }
    }
}

impl Event {
    /// Reads the body of a web hook.
    ///
    /// # Errors
    /// If it is no event.
    pub fn parse(body: &[u8]) -> Result<Self, Unreadable> {
        serde_json::from_slice(body).map_err(|error| Unreadable::at(&error))
    }

    /// Reads the object that it is about, as it was when it happened. Several kinds have the same
    /// fields, so the kind is compared.
    ///
    /// # Errors
    /// If it is another kind of object, or cannot be read: of another version perhaps.
    pub fn object<T: DeserializeOwned + Identified>(&self) -> Result<T, Unreadable> {
        #[derive(Deserialize)]
        struct Kind {
            object: String,
        }
        let text = self.object_text();
        let kind: Kind = serde_json::from_str(text).map_err(|error| Unreadable::at(&error))?;
        if kind.object != T::OBJECT {
            return Err(Unreadable::OtherKind { expected: T::OBJECT });
        }
        serde_json::from_str(text).map_err(|error| Unreadable::at(&error))
    }

    /// The object's JSON, unchanged. It may hold secrets and data of a customer.
    pub fn object_text(&self) -> &str {
        self.data.object.get()
    }
}

impl Identified for Event {
    const OBJECT: &str = "event";

    fn id(&self) -> &str {
        &self.id
    }
}

impl fmt::Debug for Data {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Data").finish_non_exhaustive()
    }
}
