//! The pure core of callmeter: what one call costs, and the words to say it in.
//!
//! Place in the flow: between the decoded event and the ledger. Ingest turns a record into a
//! [`domain::Call`]; [`rating::terms_at`] finds what the account had agreed to when the call
//! started; [`rating::rate`] prices it; the ledger writes the price down. Authorizations,
//! estimates and re-rating ask the very same functions.
//!
//! - [`domain`]: the nouns. Money, ids, cycles, subscriptions, the catalog, calls, transactions.
//! - [`rating`]: the verbs. One call's price, and how long a call may be granted.
//!
//! It must never do I/O, read a clock, draw a random number, keep a global, or touch a float:
//! time and state are arguments. The dependency list, `clippy.toml` and a test hold it to that.

pub mod domain;
pub mod rating;
