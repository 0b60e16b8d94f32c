//! Mails to customers: made of events, sent later, and what an address does not want any more.
//!
//! A row keeps neither content nor address: both are read when the mail is sent.

mod sending;
mod unsubscriptions;

pub use sending::{
    CONSUMER, DueMail, SentMail, Waiting, claim, fan_out, is_any_due, note, release, waiting,
};
pub use unsubscriptions::{Unsubscription, unsubscribe};
