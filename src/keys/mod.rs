//! Bearer keys: what one looks like, and how long a process may believe what it knows of one.
//!
//! Between the ledger, which holds the digests, and the API, which asks with every request.

mod cache;
mod text;

pub use cache::{KeyCache, Known, LEASE};
pub use text::{KeyDigest, KeyText, SealingKey};
