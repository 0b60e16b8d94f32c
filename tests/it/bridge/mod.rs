//! The bridge: what Twilio posts, signed as Twilio signs it, on its way to being charged.

pub(crate) mod accounts;
mod content;
pub(crate) mod post;
mod proof;
mod signers;
