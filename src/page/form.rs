//! Forms, and the queries of addresses: names and texts.

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use callmeter_core::domain::Money;

use super::Page;
use super::error::PageError;
use crate::config::PAYMENT_MAX;

/// Most bytes of a form.
const BYTES_MAX: usize = 16_384;

/// The fields of a form or a query.
#[derive(Clone, Debug, Default)]
pub(super) struct Form(Vec<(String, String)>);

/// The query of an address.
#[derive(Clone, Debug)]
pub(super) struct Query(pub(super) Form);

impl Form {
    fn parse(bytes: &[u8]) -> Self {
        Self(form_urlencoded::parse(bytes).into_owned().collect())
    }

    /// The text of a field; `None`: it is absent or empty.
    pub(super) fn one(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
    }

    /// The texts of all fields of a name, in order, empty ones too.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.trim())
    }

    /// The text of a field as it was sent, with its spaces; `None`: it is absent or empty.
    pub(super) fn raw(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// True if a box is checked.
    pub(super) fn is_checked(&self, name: &str) -> bool {
        self.one(name).is_some()
    }

    /// All fields, for the digest of a request.
    pub(super) fn text(&self, name: &str) -> String {
        self.one(name).unwrap_or_default().to_owned()
    }
}

impl FromRequest<Page> for Form {
    type Rejection = PageError;

    async fn from_request(request: Request, page: &Page) -> Result<Self, PageError> {
        let media_type = request.headers().get(CONTENT_TYPE).and_then(|it| it.to_str().ok());
        let media_type = media_type.and_then(|it| it.split(';').next()).map(str::trim);
        if media_type != Some("application/x-www-form-urlencoded") {
            return Err(PageError::BadForm);
        }
        let body = Bytes::from_request(request, page).await.map_err(|_| PageError::BadForm)?;
        if body.len() > BYTES_MAX {
            return Err(PageError::BadForm);
        }
        Ok(Self::parse(&body))
    }
}

impl FromRequestParts<Page> for Query {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, _: &Page) -> Result<Self, PageError> {
        Ok(Self(Form::parse(parts.uri.query().unwrap_or_default().as_bytes())))
    }
}

/// Reads an amount as people write it: `50`, `$50.00`, `1,250.5`. Whole cents.
///
/// # Errors
/// A sentence that says what to enter.
pub(super) fn amount(text: &str) -> Result<Money, String> {
    let plain = text.trim().trim_start_matches('$').replace([',', ' '], "");
    let (dollars, cents) = plain.split_once('.').unwrap_or((&plain, "0"));
    let digits = |text: &str, most| {
        (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    if digits(dollars, 9) && digits(cents, 6) && !digits(cents, 2) {
        return Err("Enter whole cents: at most two decimal places.".to_owned());
    }
    let read = Money::parse(&format!("{dollars}.{cents}")).ok();
    let read = read.filter(|_| digits(dollars, 9) && digits(cents, 2));
    let amount = read.ok_or("Enter an amount such as 50.00.")?;
    if amount > PAYMENT_MAX {
        return Err("Enter at most $999,999.99.".to_owned());
    }
    Ok(amount)
}

#[cfg(test)]
mod tests {
    use super::amount;

    #[test]
    fn an_amount_is_read_as_people_write_it() {
        for (text, read) in [
            ("50", "50.000000"),
            ("$50.00", "50.000000"),
            (" 1,250.5 ", "1250.500000"),
            ("999999.99", "999999.990000"),
        ] {
            assert_eq!(amount(text).expect("an amount").to_string(), read, "{text}");
        }
        for text in ["", "five", "-5", "5.001", "1e3", "5.", ".5", "1000000", "５"] {
            assert!(amount(text).is_err(), "{text}");
        }
    }
}
