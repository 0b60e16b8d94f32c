//! Publishes the due periods of numbers to Kafka, where they are charged like everybody's.
//!
//! Every process with the role `jobs` does it: a period that two publish is charged once. Each
//! number goes on by one period a round, the oldest first, so after an outage a wallet pays its
//! missed periods in their order.

use callmeter_core::domain::{Money, rental_period_start};
use chrono::{DateTime, NaiveTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use super::{NumberError, Numbers};
use crate::ingest::publisher::NewRecord;
use crate::ledger::numbers::periods::{self, DuePeriod, Moved};
use crate::metrics::RENTALS_PUBLISHED;

/// Periods of one round.
const ROUND: i64 = 500;

impl Numbers {
    /// Publishes every period that is due; returns how many.
    ///
    /// # Errors
    /// If Postgres or Kafka fail: what is not noted as published is published again.
    pub async fn publish_due(&self) -> Result<usize, NumberError> {
        let mut published = 0;
        loop {
            let now = self.clock.now();
            let due = periods::due(&mut *self.store.read().await?, now, ROUND).await?;
            if due.is_empty() {
                return Ok(published);
            }
            let catalog = self.catalog().await?;
            let is_priced = |period: &DuePeriod| {
                let at = midnight(period);
                let catalog = catalog.as_ref().map(|history| &history.at(at).catalog);
                let kind = (period.country.as_str(), period.number_type.as_str());
                catalog.is_some_and(|catalog| catalog.number_price(kind.0, kind.1).is_some())
            };
            let mut records = Vec::with_capacity(due.len());
            for period in &due {
                let key = Some(period.twilio_account_sid.to_string());
                let value = event(period, is_priced(period), now).to_string().into_bytes();
                records.push(NewRecord { key, value });
            }
            self.publisher.publish(&records).await?;
            let moved: Vec<Moved> = due.iter().filter_map(next).collect();
            periods::advance(&self.store, &moved).await?;
            published += due.len();
            let count = u64::try_from(due.len()).unwrap_or_default();
            ::metrics::counter!(RENTALS_PUBLISHED).increment(count);
        }
    }
}

fn midnight(period: &DuePeriod) -> DateTime<Utc> {
    period.starts_on.and_time(NaiveTime::MIN).and_utc()
}

/// The number's next period.
fn next(period: &DuePeriod) -> Option<Moved> {
    let count = period.period.checked_add(1)?;
    let start = rental_period_start(period.first_period, count, period.anchor)?;
    Some((period.id.clone(), period.period, start.and_time(NaiveTime::MIN).and_utc()))
}

/// The event that charges a period. The catalog prices it; a number that the catalog prices no more
/// costs what it cost when it was bought.
fn event(period: &DuePeriod, is_priced: bool, now: DateTime<Utc>) -> Value {
    let mut data = json!({
        "AccountSid": period.twilio_account_sid,
        "PhoneNumberSid": period.sid,
        "PhoneNumber": period.phone_number,
        "IsoCountry": period.country,
        "NumberType": period.number_type,
        "PeriodStart": period.starts_on,
    });
    if !is_priced {
        let price = Money::from_micros(period.monthly_micros);
        data["MonthlyPrice"] = json!(price);
    }
    json!({
        "specversion": "1.0",
        "id": format!("{}-{}", period.id, period.starts_on),
        "type": "callmeter.number.rental.due",
        "source": "callmeter",
        "time": now.to_rfc3339_opts(SecondsFormat::AutoSi, true),
        "datacontenttype": "application/json",
        "data": data,
    })
}
