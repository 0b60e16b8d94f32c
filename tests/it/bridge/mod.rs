//! The bridge: what Twilio posts, signed as Twilio signs it, on its way to being charged.

mod accounts;
mod content;
mod post;
mod proof;
mod signers;
