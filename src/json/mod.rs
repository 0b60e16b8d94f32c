//! JSON that more than one door writes: HTTP answers it, the command line prints it.
//!
//! Beside the flow, below the doors. Nothing here reads or decides anything.

mod account;
mod key;
mod reject;
pub(crate) mod schema;

pub(crate) use account::AccountJson;
pub(crate) use key::{KeyJson, KeyScope};
pub(crate) use reject::{ClosedJson, RejectJson};
