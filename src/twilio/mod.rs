//! Twilio's REST API, as far as this service reads it: calls and usage records.
//!
//! Beside the flow: Twilio's own record of calls, to find those whose callbacks were lost. It only
//! reads. Every request has a time limit, and a limited number of retries if they can help; an
//! error says whether they can. No error may hold a token, a phone number or a body.
//!
//! Sources: Twilio's documentation of the Call resource
//! (<https://www.twilio.com/docs/voice/api/call-resource>), of usage records
//! (<https://www.twilio.com/docs/usage/api/usage-record>) and of differences between the two
//! (<https://www.twilio.com/docs/voice/resolve-call-log-usage-discrepancies>).

mod calls;
mod client;
mod credentials;
mod error;
mod usage;

pub use calls::{CallRecord, CallsPage};
pub use client::TwilioClient;
pub use credentials::{AccessError, Accesses, Credentials};
pub use error::TwilioError;
pub use usage::{Usage, UsageRecord};
