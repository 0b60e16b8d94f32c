//! Decodes a rental event: the CloudEvent `callmeter.number.rental.due`.

use std::borrow::Cow;

use callmeter_core::domain::ids::{PhoneNumberSid, TwilioAccountSid};
use callmeter_core::domain::money::Money;
use chrono::NaiveDate;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Event, Rejection, RentalDue, as_it_came, storable};

/// The only type of event on this topic that is charged.
const RENTAL_DUE_TYPE: &str = "callmeter.number.rental.due";

#[derive(Deserialize)]
struct CloudEvent<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RentalData<'a> {
    #[serde(borrow)]
    account_sid: Option<Cow<'a, str>>,
    #[serde(borrow)]
    phone_number_sid: Option<Cow<'a, str>>,
    #[serde(borrow)]
    phone_number: Option<Cow<'a, str>>,
    #[serde(borrow)]
    iso_country: Option<Cow<'a, str>>,
    #[serde(borrow)]
    number_type: Option<Cow<'a, str>>,
    #[serde(borrow)]
    period_start: Option<Cow<'a, str>>,
    #[serde(borrow)]
    monthly_price: Option<&'a RawValue>,
}

pub(super) fn decode(value: &[u8]) -> Result<Event, Rejection> {
    let undecodable =
        |error: serde_json::Error| Rejection::undecodable(format!("not a JSON object: {error}"));
    let event: CloudEvent<'_> = serde_json::from_slice(value).map_err(undecodable)?;
    match event.kind.as_deref() {
        Some(RENTAL_DUE_TYPE) => {}
        Some(_) => return Ok(Event::Skipped),
        None => return Err(Rejection::invalid("type of the CloudEvent is missing")),
    }
    let data = event.data.ok_or_else(|| Rejection::invalid("data is missing"))?;
    let object = object(data).map_err(undecodable)?;
    let data: RentalData<'_> = serde_json::from_str(&object)
        .map_err(|error| Rejection::invalid(format!("data cannot be read: {error}")))?;
    read(&data).map(Event::RentalDue)
}

/// The `AccountSid` that a rental record names.
pub(super) fn account_sid(value: &[u8]) -> Option<TwilioAccountSid> {
    let event: CloudEvent<'_> = serde_json::from_slice(value).ok()?;
    let object = object(event.data?).ok()?;
    let data: RentalData<'_> = serde_json::from_str(&object).ok()?;
    TwilioAccountSid::parse(&data.account_sid?).ok()
}

/// Like Twilio's sinks, a producer may send `data` as a string that contains the object.
fn object(data: &RawValue) -> Result<Cow<'_, str>, serde_json::Error> {
    let data = data.get();
    if data.starts_with('"') {
        serde_json::from_str(data).map(Cow::Owned)
    } else {
        Ok(Cow::Borrowed(data))
    }
}

fn read(data: &RentalData<'_>) -> Result<RentalDue, Rejection> {
    let invalid = |error: &dyn std::fmt::Display| Rejection::invalid(error.to_string());
    let account_sid = identity("AccountSid", data.account_sid.as_deref())?;
    let phone_number_sid = identity("PhoneNumberSid", data.phone_number_sid.as_deref())?;
    let period_start = required("PeriodStart", data.period_start.as_deref())?;
    let text = |value: &Option<Cow<'_, str>>| value.as_deref().and_then(storable);
    Ok(RentalDue {
        twilio_account_sid: TwilioAccountSid::parse(account_sid).map_err(|e| invalid(&e))?,
        phone_number_sid: PhoneNumberSid::parse(phone_number_sid).map_err(|e| invalid(&e))?,
        period_start: day(period_start)
            .ok_or_else(|| Rejection::invalid("PeriodStart is no date such as 2026-11-01"))?,
        phone_number: text(&data.phone_number),
        country: text(&data.iso_country),
        number_type: text(&data.number_type),
        monthly_price: data.monthly_price.map_or(Ok(None), |price| price_of(price.get()))?,
    })
}

fn identity<'a>(name: &str, value: Option<&'a str>) -> Result<&'a str, Rejection> {
    required(name, value).and_then(|text| as_it_came(name, text))
}

fn required<'a>(name: &str, value: Option<&'a str>) -> Result<&'a str, Rejection> {
    value
        .filter(|text| !text.is_empty())
        .ok_or_else(|| Rejection::invalid(format!("{name} is missing")))
}

/// A date with a four-digit year, so that the stored date reads as the sent one.
fn day(text: &str) -> Option<NaiveDate> {
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    (date.format("%Y-%m-%d").to_string() == text).then_some(date)
}

/// `MonthlyPrice` as a string or a JSON number, parsed by its digits, never through a float.
fn price_of(json: &str) -> Result<Option<Money>, Rejection> {
    let digits = match json {
        "null" => return Ok(None),
        text if text.starts_with('"') => serde_json::from_str::<String>(text).unwrap_or_default(),
        number => number.to_owned(),
    };
    match Money::parse(&digits) {
        Ok(price) if price > Money::EXACT_IN_LUA => {
            Err(Rejection::invalid(format!("MonthlyPrice is {price}, more than a wallet can have")))
        }
        Ok(price) if !price.is_negative() => Ok(Some(price)),
        Ok(price) => Err(Rejection::invalid(format!("MonthlyPrice is negative: {price}"))),
        Err(error) => Err(Rejection::invalid(format!("MonthlyPrice: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(price: &str, expected: Result<Option<&str>, ()>) {
        let event = format!(
            r#"{{"type":"callmeter.number.rental.due","data":{{"AccountSid":"AC1","PhoneNumberSid":"PN1",
            "PeriodStart":"2026-11-01","MonthlyPrice":{price}}}}}"#
        );
        let found = match decode(event.as_bytes()) {
            Ok(Event::RentalDue(rental)) => Ok(rental.monthly_price.map(|price| price.to_string())),
            Err(_) => Err(()),
            Ok(other) => panic!("{other:?}"),
        };
        assert_eq!(found, expected.map(|price| price.map(str::to_owned)), "{price}");
    }

    #[test]
    fn a_price_is_read_by_its_digits() {
        check(r#""1.15""#, Ok(Some("1.150000")));
        check("1.15", Ok(Some("1.150000")));
        check("0", Ok(Some("0.000000")));
        check("null", Ok(None));
        check(r#""1.1500001""#, Err(()));
        check("-1", Err(()));
        check("9007199254.740991", Ok(Some("9007199254.740991")));
        check("9007199254.740992", Err(()));
        check("1e2", Err(()));
        check("true", Err(()));
    }
}
