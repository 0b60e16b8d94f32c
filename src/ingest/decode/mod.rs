//! Decodes a record's bytes into an event: both of Twilio's shapes, and number rentals.
//!
//! First step of the flow, without I/O. It decides what a record *is*, never what it costs. It
//! never fails: a record that cannot be charged becomes [`Event::Rejected`] with the reason.

mod call;
mod fields;
mod instants;
mod one_pass;
mod reduced;
mod rental;

pub use instants::parse as parse_instant;

use callmeter_core::domain::call::{Call, CallStatus};
use callmeter_core::domain::ids::{CallSid, PhoneNumberSid, TwilioAccountSid};
use callmeter_core::domain::money::Money;
use chrono::{DateTime, NaiveDate, Utc};

/// The kind of records in a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// Call events (`twilio.calls`).
    Calls,
    /// Rental periods that are due (`numbers.rentals`).
    Rentals,
}

/// A decoded record.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A completed call, which is charged.
    CallEnded(CallEnded),
    /// Any other status of a call: it costs nothing, and creates, keeps or releases the hold.
    CallSignalled(CallSignalled),
    /// A month of a number's rent is due.
    RentalDue(RentalDue),
    /// An event of a type that is not charged here.
    Skipped,
    /// A record that cannot be charged; it is kept.
    Rejected(Rejection),
}

/// A completed call under its Twilio account.
#[derive(Clone, Debug, PartialEq)]
pub struct CallEnded {
    /// `AccountSid`.
    pub twilio_account_sid: TwilioAccountSid,
    /// The call.
    pub call: Call,
}

/// A call's status that is not billable.
#[derive(Clone, Debug, PartialEq)]
pub struct CallSignalled {
    /// `CallStatus`.
    pub status: CallStatus,
    /// `AccountSid`, if it is a valid one.
    pub twilio_account_sid: Option<TwilioAccountSid>,
    /// `CallSid`, if it is a valid one.
    pub call_sid: Option<CallSid>,
    /// `Direction`.
    pub direction: Option<Box<str>>,
    /// `From`.
    pub from: Option<Box<str>>,
    /// `To`.
    pub to: Option<Box<str>>,
    /// `ParentCallSid`.
    pub parent_call_sid: Option<Box<str>>,
    /// Time of the status, read as the end of a call is.
    pub signalled_at: DateTime<Utc>,
}

/// A month's rent of a number that is due.
#[derive(Clone, Debug, PartialEq)]
pub struct RentalDue {
    /// The number's account.
    pub twilio_account_sid: TwilioAccountSid,
    /// The number's sid; with `period_start` it identifies the debit.
    pub phone_number_sid: PhoneNumberSid,
    /// First day of the period, UTC.
    pub period_start: NaiveDate,
    /// The number itself.
    pub phone_number: Option<Box<str>>,
    /// ISO country code.
    pub country: Option<Box<str>>,
    /// `local`, `mobile`, `national` or `toll free`.
    pub number_type: Option<Box<str>>,
    /// The event's price, if it has one; else the catalog's counts.
    pub monthly_price: Option<Money>,
}

/// Why a record is kept instead of charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RejectReason {
    /// The bytes are not a JSON object.
    Undecodable,
    /// A field that charging needs is missing or wrong.
    Invalid,
    /// No account has this `AccountSid`.
    UnknownAccount,
    /// Charged before with another duration, or paid before at another price.
    Conflict,
}

impl RejectReason {
    /// Every reason.
    pub const ALL: &[Self] =
        &[Self::Undecodable, Self::Invalid, Self::UnknownAccount, Self::Conflict];

    /// The name that is stored and listed.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Undecodable => "undecodable",
            Self::Invalid => "invalid",
            Self::UnknownAccount => "unknown_account",
            Self::Conflict => "conflict",
        }
    }
}

impl std::str::FromStr for RejectReason {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.iter().copied().find(|reason| reason.as_str() == text);
        known.ok_or("is no reason of a reject")
    }
}

/// A reason with its detail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The kind.
    pub reason: RejectReason,
    /// A lower-case fragment: the field and its value.
    pub detail: String,
}

impl Rejection {
    /// A missing or wrong field.
    pub fn invalid(detail: impl Into<String>) -> Self {
        Self { reason: RejectReason::Invalid, detail: detail.into() }
    }

    fn undecodable(detail: impl Into<String>) -> Self {
        Self { reason: RejectReason::Undecodable, detail: detail.into() }
    }
}

/// Limits of accepted durations and times.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Longest call that is charged, in seconds.
    pub call_seconds_max: u32,
    /// How far a call's end may lie after its record's Kafka timestamp, in seconds.
    pub end_ahead_seconds_max: u32,
}

/// Decodes one record. `record_at` is its Kafka timestamp, or the present if Kafka has none.
pub fn decode(topic: Topic, value: &[u8], record_at: DateTime<Utc>, limits: Limits) -> Event {
    let value = without_bom(value);
    let event = match topic {
        Topic::Calls => call::decode(value, record_at, limits),
        Topic::Rentals => rental::decode(value),
    };
    event.unwrap_or_else(Event::Rejected)
}

/// The `AccountSid` by which a record of calls would be charged; none if it charges nobody.
pub fn account_sid(value: &[u8]) -> Option<TwilioAccountSid> {
    call::account_sid(without_bom(value))
}

/// Strips a BOM, which is not part of the JSON.
fn without_bom(value: &[u8]) -> &[u8] {
    value.strip_prefix("\u{feff}".as_bytes()).unwrap_or(value)
}

/// An id without repaired characters: two different ids, once repaired, could become one.
fn as_it_came<'a>(name: &str, id: &'a str) -> Result<&'a str, Rejection> {
    if id.contains(char::REPLACEMENT_CHARACTER) {
        return Err(Rejection::invalid(format!("{name} is no valid text")));
    }
    Ok(id)
}

/// The account and call that a record names, as far as they can be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// `AccountSid`.
    pub twilio_account_sid: Option<TwilioAccountSid>,
    /// `CallSid`.
    pub call_sid: Option<CallSid>,
}

/// Reads the ids that a record of either topic names, even if it is rejected.
pub fn subject(value: &[u8]) -> Subject {
    let value = without_bom(value);
    call::subject(value).unwrap_or_else(|| Subject {
        twilio_account_sid: rental::account_sid(value),
        call_sid: None,
    })
}

/// A short form of a call record that Kafka cannot hold: it is charged, skipped or rejected as the
/// whole would be. It contains the length and SHA-256 of the whole.
pub fn reduced(value: &[u8]) -> Vec<u8> {
    reduced::reduced(value)
}

/// Text as stored and shown: NUL replaced, cut at 256 characters; `None` if empty.
pub fn storable(text: &str) -> Option<Box<str>> {
    const CHARACTERS_MAX: usize = 256;
    if text.is_empty() {
        return None;
    }
    if text.len() <= CHARACTERS_MAX && !text.contains('\0') {
        return Some(text.into());
    }
    Some(
        text.chars().take(CHARACTERS_MAX).map(|c| if c == '\0' { '\u{fffd}' } else { c }).collect(),
    )
}

#[cfg(test)]
mod one_pass_tests;
#[cfg(test)]
mod tests;
