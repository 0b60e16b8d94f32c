//! The Calls resource: Twilio's record of each leg.

use callmeter_core::domain::{CallSid, TwilioAccountSid};
use chrono::{DateTime, Datelike, Days, NaiveDate, TimeDelta, Utc};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::{Credentials, TwilioClient, TwilioError};

/// Calls on a page: Twilio's maximum.
const PAGE_SIZE: &str = "1000";
/// Most pages of one listing, so that an endless one ends: ten million calls of an account.
const PAGES_MAX: usize = 10_000;

/// One leg in Twilio's records. All values are strings there; empty ones are read as absent.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct CallRecord {
    /// `CallSid`.
    pub sid: String,
    /// `AccountSid`; absent only if the answer lacks it.
    #[serde(default, deserialize_with = "text")]
    pub account_sid: Option<String>,
    /// The leg that created this one.
    #[serde(default, deserialize_with = "text")]
    pub parent_call_sid: Option<String>,
    /// `queued`, `ringing`, `in-progress`, `completed`, `busy`, `failed`, `no-answer`, `canceled`.
    pub status: String,
    /// The caller: E.164, `client:…`, `sip:…`.
    #[serde(default, deserialize_with = "text")]
    pub from: Option<String>,
    /// The callee.
    #[serde(default, deserialize_with = "text")]
    pub to: Option<String>,
    /// `inbound`, `outbound-api`, `outbound-dial`, `trunking-…`.
    #[serde(default, deserialize_with = "text")]
    pub direction: Option<String>,
    /// Empty until the leg is dialled; RFC 2822, GMT.
    #[serde(default, deserialize_with = "instant")]
    pub start_time: Option<DateTime<Utc>>,
    /// Empty until the leg ends; RFC 2822, GMT.
    #[serde(default, deserialize_with = "instant")]
    pub end_time: Option<DateTime<Utc>>,
    /// Seconds as a string; empty for calls in progress and unanswered calls.
    #[serde(default, deserialize_with = "seconds")]
    pub duration: Option<u32>,
}

/// One page of a listing.
#[derive(Clone, Debug)]
pub struct CallsPage {
    /// The calls, as received: the same sid may come twice, on one page or on two.
    pub calls: Vec<CallRecord>,
    /// Rows that are not calls as documented, each by its sid if it has one.
    pub unreadable: Vec<Option<String>>,
    next: Option<reqwest::Url>,
    number: usize,
}

#[derive(Deserialize)]
struct Listing {
    /// Read one by one: a fault in one row does not affect the others.
    calls: Vec<Box<RawValue>>,
    #[serde(default)]
    next_page_uri: Option<String>,
}

impl CallRecord {
    /// True if the leg is of this account, or names none.
    pub fn is_of(&self, sid: &TwilioAccountSid) -> bool {
        self.account_sid.as_deref().is_none_or(|account| account == sid.as_str())
    }

    /// True if the leg is billed: only `completed` is.
    pub fn is_completed(&self) -> bool {
        self.status == "completed"
    }

    /// True if the leg has not ended.
    pub fn is_under_way(&self) -> bool {
        matches!(self.status.as_str(), "queued" | "initiated" | "ringing" | "in-progress")
    }

    /// When it started: Twilio's value, else computed from its end.
    pub fn started_at(&self) -> Option<DateTime<Utc>> {
        let reckoned = || Some(self.end_time? - TimeDelta::seconds(self.duration?.into()));
        self.start_time.or_else(reckoned)
    }

    /// When it ended: Twilio's value; else, for a completed leg, start plus duration. Only a time
    /// that RFC 2822 can write.
    ///
    /// Not computed for other legs: an unanswered leg has a duration of 0, however long it rang.
    pub fn ended_at(&self) -> Option<DateTime<Utc>> {
        let reckoned = || Some(self.start_time? + TimeDelta::seconds(self.duration?.into()));
        let ended_at = self.end_time.or_else(|| reckoned().filter(|_| self.is_completed()));
        ended_at.filter(|at| (0..=9_999).contains(&at.year()))
    }
}

impl TwilioClient {
    /// Lists the first page of an account's completed calls that started on the UTC days from
    /// `first` to `last`, both included. [`Self::more_calls`] lists the next pages.
    ///
    /// Twilio documents its filters only for dates, each of which "defaults to midnight": hence
    /// `StartTime>=` the first day, and `StartTime<` the day after the last. For a finer period
    /// check each call.
    ///
    /// # Errors
    /// If Twilio does not answer, or refuses the request.
    pub async fn calls(
        &self,
        credentials: &Credentials,
        account_sid: &TwilioAccountSid,
        first: NaiveDate,
        last: NaiveDate,
    ) -> Result<CallsPage, TwilioError> {
        let (first, end) = (first.to_string(), last.checked_add_days(Days::new(1)));
        let end = end.unwrap_or(last).to_string();
        let query = [
            ("Status", "completed"),
            ("StartTime>", first.as_str()),
            ("StartTime<", end.as_str()),
            ("PageSize", PAGE_SIZE),
        ];
        let url = self.resource(&[account_sid.as_str(), "Calls.json"], &query);
        self.page(credentials, &url, 1).await
    }

    /// The page after `page`; none if that was the last.
    ///
    /// # Errors
    /// As for [`Self::calls`]; `TooManyPages` if the listing does not end.
    pub async fn more_calls(
        &self,
        credentials: &Credentials,
        page: &CallsPage,
    ) -> Result<Option<CallsPage>, TwilioError> {
        let Some(url) = &page.next else { return Ok(None) };
        if page.number >= PAGES_MAX {
            return Err(TwilioError::TooManyPages { pages: page.number });
        }
        self.page(credentials, url, page.number + 1).await.map(Some)
    }

    async fn page(
        &self,
        credentials: &Credentials,
        url: &reqwest::Url,
        number: usize,
    ) -> Result<CallsPage, TwilioError> {
        let listing: Listing = self.get(credentials, url).await?;
        let next = listing.next_page_uri.filter(|next| !next.is_empty());
        let next = next.map(|next| self.next_page(&next)).transpose()?;
        let (mut calls, mut unreadable) = (Vec::with_capacity(listing.calls.len()), Vec::new());
        for row in &listing.calls {
            match serde_json::from_str(row.get()) {
                Ok(call) => calls.push(call),
                Err(_) => unreadable.push(text_of(row, "sid")),
            }
        }
        Ok(CallsPage { calls, unreadable, next, number })
    }

    /// Looks up one call; none: Twilio has no such call of this account.
    ///
    /// # Errors
    /// As for [`Self::calls`], except for 404.
    pub async fn call(
        &self,
        credentials: &Credentials,
        account_sid: &TwilioAccountSid,
        call_sid: &CallSid,
    ) -> Result<Option<CallRecord>, TwilioError> {
        let name = format!("{call_sid}.json");
        let url = self.resource(&[account_sid.as_str(), "Calls", &name], &[]);
        match self.get(credentials, &url).await {
            Ok(call) => Ok(Some(call)),
            Err(TwilioError::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// One text of a row that cannot be read as a whole.
pub(super) fn text_of(row: &RawValue, name: &str) -> Option<String> {
    let row: serde_json::Value = serde_json::from_str(row.get()).ok()?;
    row.get(name)?.as_str().map(str::to_owned)
}

fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.filter(|text| !text.is_empty()))
}

pub(super) fn instant<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<DateTime<Utc>>, D::Error> {
    let Some(text) = text(deserializer)? else { return Ok(None) };
    let instant = crate::ingest::decode::parse_instant(&text);
    instant.map(Some).ok_or_else(|| serde::de::Error::custom("no instant"))
}

fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    // Documented as a string; a number means the same.
    let seconds = match Option::<serde_json::Value>::deserialize(deserializer)? {
        None => return Ok(None),
        Some(serde_json::Value::String(text)) if text.is_empty() => return Ok(None),
        Some(serde_json::Value::String(text)) => text.parse().ok(),
        Some(other) => other.as_u64().and_then(|seconds| u32::try_from(seconds).ok()),
    };
    seconds.map(Some).ok_or_else(|| serde::de::Error::custom("no whole number of seconds"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_reads_as_twilio_documents_it() {
        let call: CallRecord = serde_json::from_str(
            r#"{"account_sid": "AC1", "answered_by": "machine_start", "direction": "outbound-api",
                "duration": "4", "end_time": "Fri, 18 Oct 2019 17:03:00 +0000", "from": "+15005550001",
                "parent_call_sid": "", "price": null, "sid": "CA1", "status": "completed",
                "start_time": "Fri, 18 Oct 2019 17:02:56 +0000", "to": "client:anna"}"#,
        )
        .expect("a call");
        assert!(call.is_completed() && !call.is_under_way());
        assert_eq!((call.duration, call.parent_call_sid.as_deref()), (Some(4), None));
        assert_eq!(call.started_at().unwrap().to_rfc3339(), "2019-10-18T17:02:56+00:00");
    }

    #[test]
    fn a_call_in_progress_lacks_what_only_the_end_tells() {
        let call: CallRecord = serde_json::from_str(
            r#"{"account_sid": "AC1", "sid": "CA1", "status": "in-progress", "duration": "",
                "start_time": "", "end_time": null, "from": "+1", "to": "+2", "direction": "inbound"}"#,
        )
        .expect("a call");
        assert!(call.is_under_way());
        assert_eq!((call.duration, call.started_at()), (None, None));
    }
}
