//! What may be changed about an account and about keys: one file per use case.
//!
//! Beside the flow. Each use case is a [`Change`](crate::change::Change), and holds the rules that
//! go beyond one statement of the ledger. HTTP, the command line and jobs all run the same ones. None
//! of them knows who asked: that is the doors' work.

pub mod adjust;
pub mod create;
pub mod keys;
pub mod link;
pub mod redact;
pub mod settings;
pub mod shared_keys;
pub mod status;
pub mod subscribe;
pub mod token;

/// There is no account of this id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownAccount;
