//! Bearer keys: their text, and a cache of those that a process has confirmed; and the tokens of the
//! wallet page.
//!
//! Between the ledger, which holds the digests, and the API, which checks a key at every request.

mod cache;
mod text;
mod token;

pub use cache::{KeyCache, Known, LEASE};
pub use text::{KeyDigest, KeyText, SealingKey};
pub use token::{Token, TokenKind};
