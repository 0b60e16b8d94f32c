//! Usage records: how many minutes Twilio billed an account, by UTC start day.

use callmeter_core::domain::{Money, TwilioAccountSid};
use chrono::{DateTime, NaiveDate, Utc};
use serde::Deserialize;

use super::{Credentials, TwilioClient, TwilioError};

/// Pages of one listing: there is one record a day and category.
const PAGES_MAX: usize = 100;

/// What Twilio billed an account in one category on one UTC day; calls count on the day of their
/// start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageRecord {
    /// The day.
    pub day: NaiveDate,
    /// Calls.
    pub calls: i64,
    /// Billed minutes, each leg rounded up.
    pub minutes: i64,
    /// What Twilio took for them; none where it is not told in US dollars.
    pub cost: Option<Money>,
    /// Up to when the record counts; none where Twilio does not say.
    pub as_of: Option<DateTime<Utc>>,
}

#[derive(Deserialize)]
struct Listing {
    usage_records: Vec<Row>,
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
    /// Reads the days from `first` to `last`, both included, of one category. Sub-accounts are
    /// left out: Twilio adds them to their parent by default, and each is asked for by itself.
    ///
    /// # Errors
    /// Those of Twilio.
    pub async fn usage(
        &self,
        credentials: &Credentials,
        account_sid: &TwilioAccountSid,
        category: &str,
        first: NaiveDate,
        last: NaiveDate,
    ) -> Result<Vec<UsageRecord>, TwilioError> {
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
        let mut records = Vec::new();
        for _ in 0..PAGES_MAX {
            let listing: Listing = self.get(credentials, &url).await?;
            let of_ours = listing.usage_records.iter().filter(|row| {
                row.category == category && row.start_date >= first && row.start_date <= last
            });
            for row in of_ours {
                records.push(row.read()?);
            }
            match listing.next_page_uri.filter(|next| !next.is_empty()) {
                Some(next) => url = self.next_page(&next)?,
                None => return Ok(records),
            }
        }
        Err(TwilioError::TooManyPages { pages: PAGES_MAX })
    }
}

impl Row {
    fn read(&self) -> Result<UsageRecord, TwilioError> {
        let unreadable = |field: &str| TwilioError::Unreadable {
            problem: format!("{field} of the usage of {}", self.start_date),
        };
        if self.end_date != self.start_date {
            return Err(unreadable("end_date"));
        }
        let is_dollars = self.price_unit.as_deref().is_none_or(|it| it.eq_ignore_ascii_case("usd"));
        // Documented as a number, and sent as a string.
        let price = self.price.as_ref().map(|price| match price {
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        });
        let cost = price.filter(|_| is_dollars).map(|price| money(&price));
        Ok(UsageRecord {
            day: self.start_date,
            calls: whole(&self.count).ok_or_else(|| unreadable("count"))?,
            minutes: whole(&self.usage).ok_or_else(|| unreadable("usage"))?,
            cost: cost.map(|cost| cost.ok_or_else(|| unreadable("price"))).transpose()?,
            as_of: self.as_of.as_deref().and_then(crate::ingest::decode::parse_instant),
        })
    }
}

/// A whole number, also as `12.0`.
fn whole(text: &str) -> Option<i64> {
    let (digits, fraction) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
    if fraction.bytes().all(|byte| byte == b'0') { digits.parse().ok() } else { None }
}

/// Dollars with any number of places, rounded half away from zero to six.
fn money(text: &str) -> Option<Money> {
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
