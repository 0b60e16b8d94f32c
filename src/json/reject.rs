//! A reject without its bytes, as JSON.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::schema;
use crate::ledger::rejects::{Closed, Reject};

/// A record that could not be charged, without its bytes.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Reject)]
pub(crate) struct RejectJson {
    id: i64,
    topic: String,
    partition: i32,
    offset: i64,
    #[schema(value_type = schema::RejectReason)]
    reason: String,
    /// When it was stored.
    at: DateTime<Utc>,
    /// The exact fault.
    detail: String,
    /// How often it came; only a conflict comes more than once.
    count: i64,
    /// How long the record is.
    bytes: i32,
    /// Its Kafka timestamp.
    record_at: Option<DateTime<Utc>>,
    /// `AccountSid` of the record; null if it cannot be read.
    twilio_account_sid: Option<String>,
    /// `CallSid` of the record; null if it cannot be read.
    call_sid: Option<String>,
    /// When a replay settled it; null if none did.
    replayed_at: Option<DateTime<Utc>>,
    /// When it was closed; null if it was not.
    closed_at: Option<DateTime<Utc>>,
    /// Why it was closed.
    closed_reason: Option<String>,
}

impl From<Reject> for RejectJson {
    fn from(reject: Reject) -> Self {
        Self {
            id: reject.id,
            topic: reject.topic,
            partition: reject.partition,
            offset: reject.offset,
            reason: reject.reason,
            at: reject.at,
            detail: reject.detail,
            count: reject.count,
            bytes: reject.bytes,
            record_at: reject.record_at,
            twilio_account_sid: reject.twilio_account_sid,
            call_sid: reject.call_sid,
            replayed_at: reject.replayed_at,
            closed_at: reject.closed_at,
            closed_reason: reject.closed_reason,
        }
    }
}

/// A reject after an attempt to close it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RejectClosing)]
pub(crate) struct ClosedJson {
    #[serde(flatten)]
    shown: RejectJson,
    /// False if it was closed before; then nothing changed.
    changed: bool,
}

impl ClosedJson {
    /// The JSON of a closed reject.
    pub(crate) fn new(closed: Closed) -> Self {
        Self { shown: closed.reject.into(), changed: closed.changed }
    }
}
