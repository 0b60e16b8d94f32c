//! The types that all floors above use; no I/O.

mod call_terms;
mod denial;
mod error;
mod hold;
mod recent;
mod settings;
mod terms_document;

pub use call_terms::{CallParties, CallTerms};
pub use denial::Denial;
pub use error::BalanceError;
pub use hold::{CycleRef, GrantedBy, Hold, HoldSource};
pub(crate) use recent::Recent;
pub use settings::HoldSettings;
pub use terms_document::Document;
pub(crate) use terms_document::Policy;
