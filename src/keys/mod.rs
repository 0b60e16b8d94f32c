//! Bearer keys: their text, and a cache of those that a process has confirmed.
//!
//! Between the ledger, which holds the digests, and the API, which checks a key at every request.

mod cache;
mod text;

pub use cache::{KeyCache, Known, LEASE};
pub use text::{KeyDigest, KeyText, SealingKey};
