//! Bodies and queries, field by field: every fault is found, and named by its field.

use axum::extract::{FromRequestParts, RawQuery};
use axum::http::request::Parts;
use callmeter_core::domain::Money;
use chrono::{DateTime, NaiveDate, NaiveTime, SubsecRound, Utc};
use serde_json::{Map, Value};

use super::problem::{FieldError, Problem};

/// Something that is read from the fields of a body or a query.
pub(super) trait Fielded: Sized {
    /// Takes its fields; `None` where one is missing or wrong, which `fields` then knows.
    fn read(fields: &mut Fields) -> Option<Self>;
}

/// Nothing is expected in the body.
#[derive(Clone, Copy, Debug)]
pub(super) struct Nothing;

impl Fielded for Nothing {
    fn read(_: &mut Fields) -> Option<Self> {
        Some(Self)
    }
}

/// Fields not yet taken, and the faults found so far.
#[derive(Debug, Default)]
pub(super) struct Fields {
    left: Map<String, Value>,
    errors: Vec<FieldError>,
}

/// Reads one value, or says what was expected.
type Reader<T> = fn(&Value) -> Result<T, String>;

impl Fields {
    /// Reads a whole from a JSON object.
    ///
    /// # Errors
    /// 400 with every field at fault; unknown fields are faults too.
    pub(super) fn read_body<T: Fielded>(body: Value) -> Result<T, Problem> {
        match body {
            Value::Object(left) => Self { left, errors: Vec::new() }.read_all(),
            _ => Err(Problem::malformed("the body is not a JSON object")),
        }
    }

    /// Reads a whole from a query string.
    ///
    /// # Errors
    /// As [`Self::read_body`]; a parameter given twice is a fault.
    pub(super) fn read_query<T: Fielded>(query: &str) -> Result<T, Problem> {
        let mut fields = Self::default();
        for (name, value) in pairs(query)? {
            if fields.left.contains_key(&name) {
                fields.fault(&name, "is given twice");
            }
            fields.left.insert(name, Value::String(value));
        }
        fields.read_all()
    }

    fn read_all<T: Fielded>(mut self) -> Result<T, Problem> {
        let whole = T::read(&mut self);
        for name in std::mem::take(&mut self.left).into_iter().map(|(name, _)| name) {
            self.fault(&name, "is not known here");
        }
        match whole {
            Some(whole) if self.errors.is_empty() => Ok(whole),
            _ => Err(Problem::invalid(self.errors)),
        }
    }

    /// Takes a field that must be there.
    pub(super) fn required<T>(&mut self, name: &str, reader: Reader<T>) -> Option<T> {
        let Some(value) = self.left.remove(name) else {
            self.fault(name, "is missing");
            return None;
        };
        self.value(name, &value, reader)
    }

    /// Takes a field that may be absent, but not null.
    pub(super) fn optional<T>(&mut self, name: &str, reader: Reader<T>) -> Option<T> {
        let value = self.left.remove(name)?;
        self.value(name, &value, reader)
    }

    /// Takes a field that may be absent (`None`) or null (`Some(None)`).
    #[expect(clippy::option_option, reason = "absent and null mean different things")]
    pub(super) fn nullable<T>(&mut self, name: &str, reader: Reader<T>) -> Option<Option<T>> {
        match self.left.remove(name)? {
            Value::Null => Some(None),
            value => self.value(name, &value, reader).map(Some),
        }
    }

    /// Takes a field that must be there and may be null.
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

    /// Notes a fault.
    pub(super) fn fault(&mut self, field: &str, message: impl Into<String>) {
        self.errors.push(FieldError { field: excerpt(field), message: message.into() });
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

/// Shortens a name that the sender made up.
fn excerpt(name: &str) -> String {
    name.chars().take(64).collect()
}

fn pairs(query: &str) -> Result<Vec<(String, String)>, Problem> {
    let uri = format!("/?{query}").parse::<axum::http::Uri>();
    let uri = uri.map_err(|_| Problem::malformed("the query cannot be read"))?;
    let pairs = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(&uri);
    Ok(pairs.map_err(|_| Problem::malformed("the query cannot be read"))?.0)
}

/// A query string, read field by field.
#[derive(Clone, Debug)]
pub(super) struct Query<T>(pub T);

impl<S: Send + Sync, T: Fielded> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = RawQuery::from_request_parts(parts, state).await;
        let RawQuery(query) = query.unwrap_or_else(|never| match never {});
        Fields::read_query(query.as_deref().unwrap_or_default()).map(Self)
    }
}

fn as_text(value: &Value) -> Result<&str, String> {
    value.as_str().ok_or_else(|| "is not a string".to_owned())
}

/// Reads text through a type's own `FromStr`, whose error says what is expected.
pub(super) fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(
    value: &Value,
) -> Result<T, String> {
    as_text(value)?.parse::<T>().map_err(|error| error.to_string())
}

/// Reads a name or description: 1 to 500 characters, none of them a control character.
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

/// Reads an e-mail address: something, an at sign, something, without spaces.
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

/// Reads an instant (RFC 3339); a date alone is its first instant in UTC.
pub(super) fn instant(value: &Value) -> Result<DateTime<Utc>, String> {
    // In a query an unescaped plus sign arrives as a space.
    let text = as_text(value)?.replace(' ', "+");
    if let Ok(date) = text.parse::<NaiveDate>() {
        return Ok(date.and_time(NaiveTime::MIN).and_utc());
    }
    let instant = DateTime::parse_from_rfc3339(&text);
    let instant = instant.map_err(|_| "is not an instant such as 2026-12-01T00:00:00Z")?;
    Ok(instant.with_timezone(&Utc).trunc_subsecs(6))
}

/// Reads a whole number of 1 or more from JSON.
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
        let body = json!({ "amount": 1.5, "note": "a\u{0}b", "colour": "red" });
        let problem = Fields::read_body::<Sample>(body).unwrap_err();
        assert_eq!(faults(&problem), ["amount", "at", "note", "colour"]);
        let problem = Fields::read_query::<Sample>("amount=1&amount=2&at=x").unwrap_err();
        assert_eq!(faults(&problem), ["amount", "at"]);
    }

    #[test]
    fn absent_and_null_are_told_apart() {
        let read = |body| Fields::read_body::<Sample>(body).unwrap().note;
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
    }
}
