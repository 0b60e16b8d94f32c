//! A call for charging: one Twilio leg that ended.
//!
//! Place in the flow: ingest decodes both record shapes into a [`Call`]; rating prices it; the
//! ledger keeps its fields as evidence.
//!
//! It must never hold an account or a price: those are found and computed later.

use chrono::{DateTime, TimeDelta, Utc};

use super::ids::CallSid;
use super::named::named_enum;

named_enum! {
    /// The status of a call, in Twilio's words (`CallStatus`).
    pub enum CallStatus ("call status") {
        /// Requested.
        Initiated = "initiated",
        /// Waiting at Twilio.
        Queued = "queued",
        /// Ringing at the called number.
        Ringing = "ringing",
        /// Answered.
        InProgress = "in-progress",
        /// Ended after it was answered, by a person or a machine: the only status that costs.
        Completed = "completed",
        /// The called number was busy.
        Busy = "busy",
        /// It could not be connected.
        Failed = "failed",
        /// Nobody answered.
        NoAnswer = "no-answer",
        /// Hung up before an answer.
        Canceled = "canceled",
    }
}

impl CallStatus {
    /// True if a call with this status costs anything: only `completed` (docs/charging.md, "A
    /// call").
    pub const fn is_billable(self) -> bool {
        matches!(self, Self::Completed)
    }

    /// True if the call is over, so that its hold is settled or voided.
    pub const fn is_terminal(self) -> bool {
        match self {
            Self::Initiated | Self::Queued | Self::Ringing | Self::InProgress => false,
            Self::Completed | Self::Busy | Self::Failed | Self::NoAnswer | Self::Canceled => true,
        }
    }
}

/// A completed leg, ready to be rated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The leg (`CallSid`).
    pub call_sid: CallSid,
    /// The leg it belongs to (`ParentCallSid`).
    pub parent_call_sid: Option<Box<str>>,
    /// The caller (`From`): a number, `client:…`, `sip:…`, `anonymous`, or any text.
    pub from: Option<Box<str>>,
    /// The called (`To`).
    pub to: Option<Box<str>>,
    /// Twilio's `Direction`, unchanged.
    pub direction: Option<Box<str>>,
    /// The end, as in the first committed event.
    pub ended_at: DateTime<Utc>,
    /// How long it lasted (`CallDuration`), in seconds.
    pub seconds: u32,
    /// Twilio's own count of minutes (`Duration`): evidence only, never charged.
    pub twilio_minutes: Option<u32>,
    /// The caller's own label.
    pub tag: Option<Box<str>>,
}

impl Call {
    /// Returns the start: the end minus the duration. It decides the cycle, the subscription and
    /// the catalog version (docs/charging.md, "A call").
    pub fn started_at(&self) -> DateTime<Utc> {
        self.ended_at
            .checked_sub_signed(TimeDelta::seconds(i64::from(self.seconds)))
            .unwrap_or(DateTime::<Utc>::MIN_UTC)
    }

    /// Returns the number that prefix rates apply to; see [`rated_number`].
    pub fn rated_number(&self) -> Option<&str> {
        rated_number(self.direction.as_deref(), self.from.as_deref(), self.to.as_deref())
    }

    /// True if the leg has a parent. An empty `ParentCallSid`, which Twilio may send, names none.
    pub fn is_child_leg(&self) -> bool {
        self.parent_call_sid.as_deref().is_some_and(|parent| !parent.is_empty())
    }
}

/// Picks the rated number, the one that is not ours: `From` for `inbound` and
/// `trunking-originating`, else `To` (docs/charging.md, "What pays").
pub fn rated_number<'a>(
    direction: Option<&str>,
    from: Option<&'a str>,
    to: Option<&'a str>,
) -> Option<&'a str> {
    match direction {
        Some("inbound" | "trunking-originating") => from,
        _ => to,
    }
}
