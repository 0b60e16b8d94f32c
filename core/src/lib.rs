//! The pure core of callmeter: what one call costs, and the terms for it.
//!
//! Place in the flow: between the decoded event and the ledger. Ingest turns a record into a
//! [`domain::Call`]; [`rating::terms_at`] finds the account's terms at the call's start;
//! [`rating::rate`] prices it; the ledger stores the price. Authorizations, estimates and re-rating
//! use the same functions.
//!
//! - [`domain`]: the nouns. Money, ids, cycles, subscriptions, the catalog, calls, transactions,
//!   payments.
//! - [`policy`]: decisions about payments: what a decline means.
//! - [`rating`]: the verbs. One call's price, and how long a call may be granted.
//!
//! It must never do I/O, read a clock, draw a random number, keep a global, or use a float: time
//! and state are arguments. The dependency list, `clippy.toml` and a test enforce that.

pub mod domain;
pub mod policy;
pub mod rating;
