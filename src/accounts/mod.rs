//! Changes of accounts and keys: one file per use case.
//!
//! Beside the flow. Each use case is a [`Change`](crate::change::Change) with the rules that go
//! beyond one statement of the ledger. HTTP and the command line run the same ones. A use case
//! must never depend on who calls it.

pub mod adjust;
pub mod alerts;
pub mod budget;
pub mod create;
pub mod keys;
pub mod link;
pub mod redact;
pub mod settings;
pub mod shared_keys;
pub mod sign_in;
pub mod status;
pub mod subscribe;
pub mod token;

/// There is no account of this id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownAccount;
