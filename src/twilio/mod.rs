//! Twilio's REST API, as far as this service uses it: calls, usage records, and numbers.
//!
//! Beside the flow: Twilio's own record of calls, to find those whose callbacks were lost; and the
//! numbers that customers buy, which only `numbers` buys and removes. Every request has a time
//! limit, a reading one also a limited number of retries if they can help; an error says whether they
//! can. No error may hold a token, a phone number or a body.
//!
//! Sources: Twilio's documentation of the Call resource
//! (<https://www.twilio.com/docs/voice/api/call-resource>), of usage records
//! (<https://www.twilio.com/docs/usage/api/usage-record>) and of differences between the two
//! (<https://www.twilio.com/docs/voice/resolve-call-log-usage-discrepancies>), of numbers
//! (<https://www.twilio.com/docs/phone-numbers/api/incomingphonenumber-resource>), of their
//! regulations (<https://www.twilio.com/docs/phone-numbers/regulatory/api/regulations>) and of their
//! prices (<https://www.twilio.com/docs/phone-numbers/pricing>).

mod available;
mod calls;
mod client;
mod credentials;
mod error;
mod numbers;
mod usage;

pub use available::{AddressRequirements, AvailableNumber, TwilioPrice};
pub use calls::{CallRecord, CallsPage};
pub use client::TwilioClient;
pub use credentials::{AccessError, Accesses, Credentials};
pub use error::TwilioError;
pub use numbers::{IncomingNumber, NumberOrder};
pub use usage::{Usage, UsageRecord};
