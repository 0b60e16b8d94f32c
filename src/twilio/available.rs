//! Numbers that Twilio sells: which are available, what their country asks for, and their prices.

use callmeter_core::domain::{Money, NumberType, TwilioAccountSid};
use serde::{Deserialize, Serialize};

use super::usage::money;
use super::{Credentials, TwilioClient, TwilioError};

/// The address that a number's country asks for, in Twilio's words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AddressRequirements {
    /// None.
    #[default]
    None,
    /// Any address.
    Any,
    /// One in the number's country.
    Local,
    /// One outside of it.
    Foreign,
}

/// A number that is for sale.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct AvailableNumber {
    /// E.164.
    pub phone_number: String,
    /// Its town, if it has one.
    #[serde(default)]
    pub locality: Option<String>,
    /// Its state or province, if it has one.
    #[serde(default)]
    pub region: Option<String>,
    /// The address that its country asks for.
    #[serde(default)]
    pub address_requirements: AddressRequirements,
}

/// What Twilio takes for a number and month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TwilioPrice {
    /// The type of number.
    pub number_type: NumberType,
    /// Dollars a month.
    pub monthly: Money,
}

#[derive(Deserialize)]
struct Available {
    available_phone_numbers: Vec<AvailableNumber>,
}

#[derive(Deserialize)]
struct Regulations {
    results: Vec<Regulation>,
}

#[derive(Deserialize)]
struct Regulation {
    number_type: String,
    #[serde(default)]
    requirements: serde_json::Value,
}

impl Regulation {
    /// True if it asks for data of the end user, or for documents.
    fn asks_for_something(&self) -> bool {
        let lists = self.requirements.as_object().into_iter().flat_map(|it| it.values());
        lists.flat_map(|list| list.as_array().into_iter().flatten()).any(|one| match one {
            serde_json::Value::Array(inner) => !inner.is_empty(),
            other => !other.is_null(),
        })
    }
}

#[derive(Deserialize)]
struct Prices {
    phone_number_prices: Vec<Price>,
    #[serde(default)]
    price_unit: Option<String>,
}

#[derive(Deserialize)]
struct Price {
    number_type: String,
    current_price: String,
}

/// The type as a part of Twilio's paths.
const fn part_of_path(number_type: NumberType) -> &'static str {
    match number_type {
        NumberType::Local => "Local.json",
        NumberType::Mobile => "Mobile.json",
        NumberType::National => "National.json",
        NumberType::TollFree => "TollFree.json",
    }
}

impl TwilioClient {
    /// Numbers of a country and type that are for sale, at most `limit`; with `contains` only those
    /// that have these digits. Empty: Twilio has none, or no such type there.
    ///
    /// # Errors
    /// If Twilio does not answer, or refuses the request.
    pub async fn available_numbers(
        &self,
        credentials: &Credentials,
        account_sid: &TwilioAccountSid,
        (country, number_type): (&str, NumberType),
        contains: Option<&str>,
        limit: u16,
    ) -> Result<Vec<AvailableNumber>, TwilioError> {
        let limit = limit.to_string();
        let mut query = vec![("PageSize", limit.as_str())];
        query.extend(contains.map(|digits| ("Contains", digits)));
        let name = part_of_path(number_type);
        let parts = [account_sid.as_str(), "AvailablePhoneNumbers", country, name];
        match self.get(credentials, &self.resource(&parts, &query)).await {
            Ok(Available { available_phone_numbers: numbers }) => Ok(numbers),
            Err(TwilioError::NotFound) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// True if a country asks for a regulatory bundle for this type of number.
    ///
    /// # Errors
    /// If Twilio does not answer, or refuses the request.
    pub async fn needs_bundle(
        &self,
        credentials: &Credentials,
        country: &str,
        number_type: NumberType,
    ) -> Result<bool, TwilioError> {
        let query = [("IsoCountry", country), ("PageSize", "100")];
        let parts = ["v2", "RegulatoryCompliance", "Regulations"];
        let url = self.resource_of("numbers", &parts, &query);
        let regulations = match self.get::<Regulations>(credentials, &url).await {
            Ok(Regulations { results }) => results,
            Err(TwilioError::NotFound) => return Ok(false),
            Err(error) => return Err(error),
        };
        Ok(regulations.iter().any(|regulation| {
            NumberType::parse_loosely(&regulation.number_type) == Some(number_type)
                && regulation.asks_for_something()
        }))
    }

    /// What Twilio takes for the numbers of a country; types that we do not know are left out.
    ///
    /// # Errors
    /// If Twilio does not answer, refuses the request, or answers in another currency.
    pub async fn number_prices(
        &self,
        credentials: &Credentials,
        country: &str,
    ) -> Result<Vec<TwilioPrice>, TwilioError> {
        let parts = ["v1", "PhoneNumbers", "Countries", country];
        let url = self.resource_of("pricing", &parts, &[]);
        let prices: Prices = self.get(credentials, &url).await?;
        if prices.price_unit.as_deref().is_some_and(|unit| !unit.eq_ignore_ascii_case("usd")) {
            return Err(TwilioError::Unreadable { problem: "prices are not in USD".to_owned() });
        }
        let read = prices.phone_number_prices.iter().filter_map(|price| {
            let number_type = NumberType::parse_loosely(&price.number_type)?;
            Some(TwilioPrice { number_type, monthly: money(&price.current_price)? })
        });
        Ok(read.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_regulation_without_requirements_asks_for_nothing() {
        let read = |text: &str| serde_json::from_str::<Regulation>(text).expect("a regulation");
        let empty = r#"{"number_type": "local", "requirements": {"end_user": [],
            "supporting_document": [[]]}}"#;
        let full = r#"{"number_type": "mobile", "requirements": {"end_user": [{"name": "x"}],
            "supporting_document": [[]]}}"#;
        let bare = r#"{"number_type": "toll-free"}"#;
        assert!(!read(empty).asks_for_something() && !read(bare).asks_for_something());
        assert!(read(full).asks_for_something());
    }

    #[test]
    fn a_number_for_sale_reads_as_twilio_documents_it() {
        let number: AvailableNumber = serde_json::from_str(
            r#"{"address_requirements": "local", "beta": false, "iso_country": "GB",
                "locality": null, "phone_number": "+442071838750", "region": ""}"#,
        )
        .expect("a number");
        assert_eq!(number.address_requirements, AddressRequirements::Local);
    }
}
