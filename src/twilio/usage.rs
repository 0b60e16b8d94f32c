//! Usage records: the minutes that Twilio billed an account, by UTC day of the start.

use callmeter_core::domain::{Money, TwilioAccountSid};
use chrono::{DateTime, NaiveDate, Utc};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::calls::text_of;
use super::{Credentials, TwilioClient, TwilioError};

/// Most pages of one listing; it has one record for each day and category.
const PAGES_MAX: usize = 100;

/// Twilio's bill of an account for one category and one UTC day; a call counts on the day of its
/// start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageRecord {
    /// The day.
    pub day: NaiveDate,
    /// Calls.
    pub calls: i64,
    /// Billed minutes, each leg rounded up.
    pub minutes: i64,
    /// Twilio's price for them; none if it is not in US dollars.
    pub cost: Option<Money>,
    /// The time up to which the record counts; none if Twilio does not give it.
    pub as_of: Option<DateTime<Utc>>,
}

/// The usage of an account in one category.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// The days.
    pub records: Vec<UsageRecord>,
    /// The days of records that are not as documented; none: the day is unknown.
    pub unreadable: Vec<Option<NaiveDate>>,
}

#[derive(Deserialize)]
struct Listing {
    /// Read one by one: a fault in one day does not affect the others.
    usage_records: Vec<Box<RawValue>>,
    #[serde(default)]
    next_page_uri: Option<String>,
}

#[derive(Deserialize)]
struct Row {
    category: String,
    start_date: NaiveDate,
    end_date: NaiveDate,
    #[serde(default)]
    as_of: Option<String>,
    count: String,
    usage: String,
    #[serde(default)]
    price: Option<serde_json::Value>,
    #[serde(default)]
    price_unit: Option<String>,
}

impl TwilioClient {
    /// Reads the days from `first` to `last`, both included, of one category. Excludes
    /// sub-accounts: Twilio adds them to their parent by default, and each one is read separately.
    ///
    /// # Errors
    /// If Twilio does not answer, refuses the request, or the listing does not end.
    pub async fn usage(
        &self,
        credentials: &Credentials,
        account_sid: &TwilioAccountSid,
        category: &str,
        first: NaiveDate,
        last: NaiveDate,
    ) -> Result<Usage, TwilioError> {
        let (first_text, last_text) = (first.to_string(), last.to_string());
        let query = [
            ("Category", category),
            ("StartDate", first_text.as_str()),
            ("EndDate", last_text.as_str()),
            ("IncludeSubaccounts", "false"),
            ("PageSize", "1000"),
        ];
        let parts = [account_sid.as_str(), "Usage", "Records", "Daily.json"];
        let mut url = self.resource(&parts, &query);
        let mut usage = Usage::default();
        for _ in 0..PAGES_MAX {
            let listing: Listing = self.get(credentials, &url).await?;
            for row in &listing.usage_records {
                let read = serde_json::from_str::<Row>(row.get()).ok();
                let is_ours =
                    |its: &str, day: NaiveDate| its == category && (first..=last).contains(&day);
                match read.map(|row| (is_ours(&row.category, row.start_date), row.read())) {
                    Some((false, _)) => {}
                    Some((true, Some(record))) => usage.records.push(record),
                    Some((true, None)) | None => {
                        let day = text_of(row, "start_date").and_then(|day| day.parse().ok());
                        let its = text_of(row, "category");
                        let its = its.as_deref().unwrap_or(category);
                        if day.is_none_or(|day| is_ours(its, day)) {
                            usage.unreadable.push(day);
                        }
                    }
                }
            }
            match listing.next_page_uri.filter(|next| !next.is_empty()) {
                Some(next) => url = self.next_page(&next)?,
                None => return Ok(usage),
            }
        }
        Err(TwilioError::TooManyPages { pages: PAGES_MAX })
    }
}

impl Row {
    /// The record of the day; none: a field is not as documented.
    fn read(&self) -> Option<UsageRecord> {
        if self.end_date != self.start_date {
            return None;
        }
        let is_dollars = self.price_unit.as_deref().is_none_or(|it| it.eq_ignore_ascii_case("usd"));
        // Documented as a number, but sent as a string.
        let price = self.price.as_ref().map(|price| match price {
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        });
        Some(UsageRecord {
            day: self.start_date,
            calls: whole(&self.count)?,
            minutes: whole(&self.usage)?,
            // Without a cost the minutes still count.
            cost: price.filter(|_| is_dollars).and_then(|price| money(&price)),
            as_of: self.as_of.as_deref().and_then(crate::ingest::decode::parse_instant),
        })
    }
}

/// A whole number; `12.0` is one.
fn whole(text: &str) -> Option<i64> {
    let (digits, fraction) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
    if fraction.bytes().all(|byte| byte == b'0') { digits.parse().ok() } else { None }
}

/// Dollars with any number of places, rounded half away from zero to six.
pub(super) fn money(text: &str) -> Option<Money> {
    const PLACES: usize = 6;
    let text = text.trim();
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let kept = &fraction[..fraction.len().min(PLACES)];
    let point = if kept.is_empty() { "" } else { "." };
    let cut = Money::parse(&format!("{whole}{point}{kept}")).ok()?;
    if fraction.as_bytes().get(PLACES).is_none_or(|digit| *digit < b'5') {
        return Some(cut);
    }
    let last = Money::from_micros(if text.starts_with('-') { -1 } else { 1 });
    cut.checked_add(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_of_any_precision_become_micro_dollars() {
        let cases = [
            ("0", Some(0)),
            ("3.52", Some(3_520_000)),
            ("0.0085", Some(8_500)),
            ("-0.20000000", Some(-200_000)),
            ("0.00000049", Some(0)),
            ("0.0000005", Some(1)),
            ("-0.0000005", Some(-1)),
            ("1e3", None),
            ("", None),
        ];
        for (text, micros) in cases {
            assert_eq!(money(text).map(Money::micros), micros, "{text:?}");
        }
        assert_eq!(
            (whole("12"), whole("12.0"), whole("12.5"), whole("")),
            (Some(12), Some(12), None, None)
        );
    }
}
