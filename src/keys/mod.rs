//! Bearer keys: what one looks like, and how long a process may believe what it knows of one.
//!
//! Between the ledger, which holds the digests, and the API, which asks with every request.

mod believed;
mod text;

pub use believed::{Believed, Known, LEASE};
pub use text::{KeyDigest, KeyText, SealingKey};
