//! Reads bodies and queries field by field; reports every fault with its field.

use callmeter_core::domain::{Money, TwilioAccountSid};
use chrono::{DateTime, Datelike, NaiveDate, NaiveTime, SubsecRound, Utc};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::error::Category;
use serde_json::{Map, Value};

use super::problem::{FieldError, Problem};

/// A type that is read from the fields of a body or a query.
pub(super) trait Fielded: Sized {
    /// Reads its fields; `None` if one is missing or wrong: then `fields` has the fault.
    fn read(fields: &mut Fields) -> Option<Self>;
}

/// A body without fields.
#[derive(Clone, Copy, Debug)]
pub(super) struct Nothing;

impl Fielded for Nothing {
    fn read(_: &mut Fields) -> Option<Self> {
        Some(Self)
    }
}

/// The fields not read yet, and the faults found so far.
#[derive(Debug, Default)]
pub(super) struct Fields {
    left: Map<String, Value>,
    errors: Vec<FieldError>,
}

/// Reads one value; the error says what is wrong.
type Reader<T> = fn(&Value) -> Result<T, String>;

impl Fields {
    /// Reads a JSON object; an empty body is an object without fields.
    ///
    /// # Errors
    /// 400 with every wrong field; unknown and repeated fields are wrong.
    pub(super) fn read_body<T>(
        body: &[u8],
        read: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Result<T, Problem> {
        let Given(given) = match body {
            [] => Given(Vec::new()),
            body => serde_json::from_slice(body).map_err(|error| match error.classify() {
                Category::Data => Problem::malformed("the body is not a JSON object"),
                _ => Problem::malformed(format!("the body is not JSON: {error}")),
            })?,
        };
        Self::new(given).read_all(read)
    }

    /// Reads a query string.
    ///
    /// # Errors
    /// As [`Self::read_body`].
    pub(super) fn read_query<T: Fielded>(query: &str) -> Result<T, Problem> {
        let given = pairs(query)?.into_iter().map(|(name, value)| (name, Value::String(value)));
        Self::new(given).read_all(T::read)
    }

    fn new(given: impl IntoIterator<Item = (String, Value)>) -> Self {
        let mut fields = Self::default();
        for (name, value) in given {
            if fields.left.contains_key(&name) {
                fields.fault(&name, "is given twice");
            }
            fields.left.insert(name, value);
        }
        fields
    }

    fn read_all<T>(mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Result<T, Problem> {
        let whole = read(&mut self);
        for name in std::mem::take(&mut self.left).into_iter().map(|(name, _)| name) {
            self.fault(&name, "is not known here");
        }
        match whole {
            Some(whole) if self.errors.is_empty() => Ok(whole),
            _ => Err(Problem::invalid(self.errors)),
        }
    }

    /// Reads a required field.
    pub(super) fn required<T>(&mut self, name: &str, reader: Reader<T>) -> Option<T> {
        let Some(value) = self.left.remove(name) else {
            self.fault(name, "is missing");
            return None;
        };
        self.value(name, &value, reader)
    }

    /// Reads a field that may be absent, but not null.
    pub(super) fn optional<T>(&mut self, name: &str, reader: Reader<T>) -> Option<T> {
        let value = self.left.remove(name)?;
        self.value(name, &value, reader)
    }

    /// Reads a field that may be absent (`None`) or null (`Some(None)`).
    #[expect(clippy::option_option, reason = "absent and null mean different things")]
    pub(super) fn nullable<T>(&mut self, name: &str, reader: Reader<T>) -> Option<Option<T>> {
        match self.left.remove(name)? {
            Value::Null => Some(None),
            value => self.value(name, &value, reader).map(Some),
        }
    }

    /// Reads a required field that may be null.
    #[expect(clippy::option_option, reason = "missing and null mean different things")]
    pub(super) fn required_nullable<T>(
        &mut self,
        name: &str,
        reader: Reader<T>,
    ) -> Option<Option<T>> {
        if !self.left.contains_key(name) {
            self.fault(name, "is missing; null is allowed");
            return None;
        }
        self.nullable(name, reader)
    }

    /// Adds a fault.
    pub(super) fn fault(&mut self, field: &str, message: impl Into<String>) {
        self.errors.push(FieldError { field: excerpt(field), message: message.into() });
    }

    /// True if a field has a fault.
    pub(super) fn blames(&self, field: &str) -> bool {
        self.errors.iter().any(|error| error.field == field)
    }

    fn value<T>(&mut self, name: &str, value: &Value, reader: Reader<T>) -> Option<T> {
        match reader(value) {
            Ok(value) => Some(value),
            Err(message) => {
                self.fault(name, message);
                None
            }
        }
    }
}

/// Shortens a name of the caller.
fn excerpt(name: &str) -> String {
    name.chars().take(64).collect()
}

fn pairs(query: &str) -> Result<Vec<(String, String)>, Problem> {
    let uri = format!("/?{query}").parse::<axum::http::Uri>();
    let uri = uri.map_err(|_| Problem::malformed("the query cannot be read"))?;
    let pairs = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(&uri);
    Ok(pairs.map_err(|_| Problem::malformed("the query cannot be read"))?.0)
}

/// The fields of a JSON object, with repeated ones.
struct Given(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Given {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reading;

        impl<'de> Visitor<'de> for Reading {
            type Value = Given;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Given, A::Error> {
                let mut given = Vec::new();
                while let Some(field) = map.next_entry()? {
                    given.push(field);
                }
                Ok(Given(given))
            }
        }

        from.deserialize_map(Reading)
    }
}

fn as_text(value: &Value) -> Result<&str, String> {
    value.as_str().ok_or_else(|| "is not a string".to_owned())
}

/// Reads text with a type's own `FromStr`, whose error says what is expected.
pub(super) fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(
    value: &Value,
) -> Result<T, String> {
    as_text(value)?.parse::<T>().map_err(|error| error.to_string())
}

/// Reads a Twilio account from an administrator, in the form that Twilio issues.
pub(super) fn issued_account(value: &Value) -> Result<TwilioAccountSid, String> {
    TwilioAccountSid::parse_issued(as_text(value)?).map_err(|error| error.to_string())
}

/// Reads a name or description: 1 to 500 characters without control characters.
pub(super) fn line(value: &Value) -> Result<String, String> {
    let text = as_text(value)?.trim();
    if text.is_empty() {
        return Err("is empty".to_owned());
    }
    if text.chars().count() > 500 {
        return Err("has more than 500 characters".to_owned());
    }
    if text.chars().any(char::is_control) {
        return Err("has control characters".to_owned());
    }
    Ok(text.to_owned())
}

/// Reads an e-mail address: text, an at sign and text, without spaces.
pub(super) fn email(value: &Value) -> Result<String, String> {
    let text = line(value)?;
    let parts = text.rsplit_once('@');
    let plausible = parts.is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty());
    if !plausible || text.len() > 254 || text.contains(char::is_whitespace) {
        return Err("is not an e-mail address".to_owned());
    }
    Ok(text)
}

/// Reads an amount of zero or more.
pub(super) fn amount(value: &Value) -> Result<Money, String> {
    let Some(text) = value.as_str() else {
        return Err("is not an amount as a string, such as \"0.014000\"".to_owned());
    };
    let amount = Money::parse(text).map_err(|error| error.to_string())?;
    if amount.is_negative() {
        return Err("is negative".to_owned());
    }
    if amount > Money::EXACT_IN_LUA {
        return Err(format!("is more than {}", Money::EXACT_IN_LUA));
    }
    Ok(amount)
}

/// Reads an amount above zero.
pub(super) fn positive_amount(value: &Value) -> Result<Money, String> {
    let amount = amount(value)?;
    if amount.is_zero() { Err("is zero".to_owned()) } else { Ok(amount) }
}

/// Reads a time (RFC 3339); a date is its start in UTC.
pub(super) fn instant(value: &Value) -> Result<DateTime<Utc>, String> {
    // In a query an unescaped plus sign arrives as a space.
    let text = as_text(value)?.replace(' ', "+");
    let is_date = text.len() == 10 && text.starts_with(|first: char| first.is_ascii_digit());
    let date = text.parse::<NaiveDate>().ok().filter(|_| is_date);
    let date = date.map(|date| date.and_time(NaiveTime::MIN).and_utc());
    let instant = || DateTime::parse_from_rfc3339(&text).ok().map(|at| at.with_timezone(&Utc));
    let instant = date.or_else(instant).ok_or("is not a time such as 2026-12-01T00:00:00Z")?;
    // The years that RFC 3339 can write, in UTC too.
    if !(1..=9999).contains(&instant.year()) {
        return Err("is not within the years 0001 to 9999".to_owned());
    }
    Ok(instant.trunc_subsecs(6))
}

/// Reads a tag: any text, because it comes from a callback's address.
pub(super) fn tag(value: &Value) -> Result<String, String> {
    let text = as_text(value)?;
    if !(1..=500).contains(&text.chars().count()) {
        return Err("is not 1 to 500 characters long".to_owned());
    }
    if text.contains('\0') {
        return Err("has a NUL character".to_owned());
    }
    Ok(text.to_owned())
}

/// Reads a list of at most `most` values; the fault names the place of a wrong one.
pub(super) fn list<T>(value: &Value, most: usize, reader: Reader<T>) -> Result<Vec<T>, String> {
    let values = value.as_array().ok_or("is not a list")?;
    if values.len() > most {
        return Err(format!("has more than {most} values"));
    }
    let values = values.iter().enumerate();
    let read = values
        .map(|(at, value)| reader(value).map_err(|fault| format!("value {}: {fault}", at + 1)));
    read.collect()
}

/// Reads a yes or no.
pub(super) fn flag(value: &Value) -> Result<bool, String> {
    value.as_bool().ok_or_else(|| "is not true or false".to_owned())
}

/// Reads a whole number of 1 or more.
pub(super) fn positive_number(value: &Value) -> Result<i32, String> {
    let number = value.as_i64().and_then(|number| i32::try_from(number).ok());
    let number = number.filter(|number| *number > 0);
    number.ok_or_else(|| "is not a whole number from 1 to 2147483647".to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[derive(Debug, PartialEq)]
    #[expect(clippy::option_option, reason = "absent and null mean different things")]
    struct Sample {
        amount: Money,
        at: DateTime<Utc>,
        note: Option<Option<String>>,
    }

    impl Fielded for Sample {
        fn read(fields: &mut Fields) -> Option<Self> {
            let amount = fields.required("amount", positive_amount);
            let at = fields.required("at", instant);
            let note = fields.nullable("note", line);
            Some(Self { amount: amount?, at: at?, note })
        }
    }

    fn faults(problem: &Problem) -> Vec<String> {
        let told = serde_json::to_value(problem).unwrap();
        let errors = told["errors"].as_array().unwrap();
        errors.iter().map(|error| error["field"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn every_field_at_fault_is_named_at_once() {
        let body = json!({ "amount": 1.5, "note": "a\u{0}b", "colour": "red" }).to_string();
        let problem = Fields::read_body(body.as_bytes(), Sample::read).unwrap_err();
        assert_eq!(faults(&problem), ["amount", "at", "note", "colour"]);
        let problem = Fields::read_query::<Sample>("amount=1&amount=2&at=x").unwrap_err();
        assert_eq!(faults(&problem), ["amount", "at"]);
    }

    #[test]
    fn a_field_that_is_given_twice_is_a_fault_and_none_of_both_counts() {
        let read = |body: &str| Fields::read_body(body.as_bytes(), Sample::read);
        let twice = r#"{"amount":"1","at":"2026-12-01","amount":"2"}"#;
        assert_eq!(faults(&read(twice).unwrap_err()), ["amount"]);
        let escaped = r#"{"amount":"1","at":"2026-12-01","am\u006funt":"1"}"#;
        assert_eq!(faults(&read(escaped).unwrap_err()), ["amount"]);
        for whole in ["[]", "null", "1", "{", "", "{}x", r#"{"amount":"1"}{}"#] {
            assert!(read(whole).is_err(), "{whole}");
        }
    }

    #[test]
    fn absent_and_null_are_told_apart() {
        let read = |body: Value| {
            Fields::read_body(body.to_string().as_bytes(), Sample::read).unwrap().note
        };
        let (amount, at) = ("1", "2026-12-01");
        assert_eq!(read(json!({ "amount": amount, "at": at })), None);
        assert_eq!(read(json!({ "amount": amount, "at": at, "note": null })), Some(None));
        let noted = json!({ "amount": amount, "at": at, "note": " x " });
        assert_eq!(read(noted), Some(Some("x".to_owned())));
    }

    #[test]
    fn an_instant_is_read_from_every_form_that_a_query_brings() {
        let read = |text: &str| instant(&json!(text)).map(|at| at.to_rfc3339());
        let midnight = Ok("2026-12-01T00:00:00+00:00".to_owned());
        for text in [
            "2026-12-01",
            "2026-12-01T00:00:00Z",
            "2026-12-01T01:00:00+01:00",
            "2026-12-01T01:00:00 01:00",
        ] {
            assert_eq!(read(text), midnight, "{text}");
        }
        for text in ["", "yesterday", "2026-02-30", "1764547200", "2026-12-01T00:00:00"] {
            assert!(read(text).is_err(), "{text}");
        }
        for text in ["0001-01-01", "9999-12-31", "9999-12-31T23:59:59.999999999Z"] {
            assert!(read(text).is_ok(), "{text}");
        }
        for text in [
            "-9999-01-01",
            "0000-12-31",
            "+262142-12-31",
            "+2026-12-01",
            "+2026-12-1",
            "2026-12-1",
            "10000-01-01",
            "0001-01-01T00:00:00+01:00",
            "9999-12-31T23:59:59-01:00",
            "-0001-01-01T00:00:00Z",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
