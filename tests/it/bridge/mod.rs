//! The bridge: Twilio's posts, signed as Twilio signs them, until they are charged.

pub(crate) mod accounts;
mod content;
mod oracle;
pub(crate) mod post;
mod proof;
mod shared_keys;
mod signers;
