//! E-mail to customers, by SMTP: plain text and HTML, made of an event by templates.
//!
//! `mailer` makes mails of events and sends them, in the process that orders the outbox. A mail
//! server that is down delays nothing else. Where a mail is not about money taken, its address can
//! be unsubscribed by one click (RFC 8058), with a token for that address and kind.
//!
//! No text of a customer may become a header, a line of its own or HTML.

mod change;
mod kinds;
mod mailer;
mod message;
mod templates;
mod token;
mod transport;

pub use change::{UnknownAddress, Unsubscribe};
pub(super) use mailer::Mailer;
pub use templates::TemplateError;
pub use token::Tokens;
pub use transport::MailError;
