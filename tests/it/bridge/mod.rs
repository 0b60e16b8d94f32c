//! The bridge: what Twilio posts, signed as Twilio signs it, on its way to being charged.

pub(crate) mod accounts;
mod content;
mod oracle;
pub(crate) mod post;
mod proof;
mod shared_keys;
mod signers;
