//! What the local Twilio answers about numbers.
//!
//! A purchase is refused as Twilio refuses it: 21421 for what is no number, 21422 for one that is not
//! for sale, 21631 where an address is missing, 21649 where a bundle is.

use std::collections::BTreeMap;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use callmeter_core::domain::{NumberType, is_e164};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::answer::{complaint, instant};
use super::numbers::{Numbers, OwnedNumber, TYPES, existing, kind_of};

/// Numbers of a page, by default.
const PAGE_SIZE: usize = 50;
/// What Twilio takes for a month, where nothing else is said.
const PRICE: &str = "1.00";
impl Numbers {
    /// `GET …/AvailablePhoneNumbers/{country}/{type}.json`.
    pub(super) fn available(
        &self,
        country: &str,
        number_type: NumberType,
        query: &BTreeMap<String, String>,
    ) -> Response {
        let contains = query.get("Contains").cloned().unwrap_or_default();
        let limit = query.get("PageSize").and_then(|size| size.parse().ok()).unwrap_or(PAGE_SIZE);
        let numbers = existing(country, number_type)
            .filter(|number| number.contains(&contains) && !self.is_owned(number));
        let rows = numbers.take(limit).map(|number| {
            let asks = self.address_requirements.get(&number).map_or("none", String::as_str);
            json!({
                "address_requirements": asks, "beta": false,
                "capabilities": { "MMS": false, "SMS": true, "voice": true },
                "friendly_name": number, "iso_country": country, "lata": null, "latitude": null,
                "locality": "Somewhere", "longitude": null, "phone_number": number,
                "postal_code": null, "rate_center": null, "region": "NJ",
            })
        });
        let rows: Vec<Value> = rows.collect();
        Json(json!({ "available_phone_numbers": rows, "uri": "" })).into_response()
    }

    /// `POST …/IncomingPhoneNumbers.json`.
    pub(super) fn buy(
        &mut self,
        account_sid: &str,
        parameters: BTreeMap<String, String>,
        now: DateTime<Utc>,
    ) -> Response {
        let refuse = |code, message| complaint(StatusCode::BAD_REQUEST, code, message);
        let Some(phone_number) = parameters.get("PhoneNumber").filter(|it| is_e164(it)).cloned()
        else {
            return refuse(21421, "PhoneNumber is invalid");
        };
        let Some((country, kind)) =
            kind_of(&phone_number).filter(|_| !self.is_owned(&phone_number))
        else {
            return refuse(21422, "PhoneNumber is not available");
        };
        let asks = self.address_requirements.get(&phone_number).is_some_and(|asks| asks != "none");
        if asks && !parameters.contains_key("AddressSid") {
            return refuse(21631, "Phone Number Requires an Address");
        }
        let is_regulated =
            self.regulated.iter().any(|(its, type_of)| its == country && *type_of == kind);
        if is_regulated && !parameters.contains_key("BundleSid") {
            return refuse(21649, "Bundle is required");
        }
        self.bought += 1;
        let owned = OwnedNumber {
            sid: format!("PN{:032x}", self.bought),
            account_sid: account_sid.to_owned(),
            phone_number,
            parameters,
            created_at: now,
        };
        let answer = (StatusCode::CREATED, Json(row(&owned))).into_response();
        self.owned.insert(owned.sid.clone(), owned);
        answer
    }

    /// `GET …/IncomingPhoneNumbers.json`; the filters take parts, as Twilio's do.
    pub(super) fn list(&self, account_sid: &str, query: &BTreeMap<String, String>) -> Response {
        let number = |name: &str| query.get(name).and_then(|text| text.parse::<usize>().ok());
        let of_name = |name: &str| query.get(name).cloned().unwrap_or_default();
        let (wanted, named) = (of_name("PhoneNumber"), query.get("FriendlyName"));
        let rows: Vec<Value> = self
            .owned
            .values()
            .filter(|owned| owned.account_sid == account_sid)
            .filter(|owned| owned.phone_number.contains(wanted.trim_start_matches('+')))
            .filter(|owned| {
                named.is_none_or(|name| owned.parameters.get("FriendlyName") == Some(name))
            })
            .map(row)
            .collect();
        let (size, page) = (number("PageSize").unwrap_or(PAGE_SIZE).max(1), number("Page"));
        let page = page.unwrap_or(0);
        let first = page.saturating_mul(size).min(rows.len());
        let end = (first + size).min(rows.len());
        let path = format!("/2010-04-01/Accounts/{account_sid}/IncomingPhoneNumbers.json");
        let next = format!("{path}?PageSize={size}&Page={}", page + 1);
        Json(json!({
            "incoming_phone_numbers": rows[first..end], "end": end.saturating_sub(1),
            "first_page_uri": format!("{path}?PageSize={size}&Page=0"),
            "next_page_uri": (end < rows.len()).then_some(next), "page": page,
            "page_size": size, "previous_page_uri": null, "start": first, "uri": path,
        }))
        .into_response()
    }

    /// `GET /v1/PhoneNumbers/Countries/{country}` of the Pricing API.
    pub(super) fn pricing(&self, country: &str) -> Response {
        let prices = TYPES.map(|number_type| {
            let price = self.prices.get(&(country.to_owned(), number_type));
            let price = price.map_or(PRICE, String::as_str);
            json!({
                "number_type": number_type.as_str(), "base_price": price, "current_price": price,
            })
        });
        Json(json!({
            "country": country, "iso_country": country, "phone_number_prices": prices,
            "price_unit": "USD", "url": "",
        }))
        .into_response()
    }

    /// `GET /v2/RegulatoryCompliance/Regulations` of the Numbers API.
    pub(super) fn regulations(&self, country: &str) -> Response {
        let regulated = self.regulated.iter().filter(|(its, _)| its == country);
        let rows = regulated.map(|(country, number_type)| {
            json!({
                "sid": format!("RN{:032x}", 1), "friendly_name": "a regulation",
                "iso_country": country, "number_type": number_type.as_str().replace(' ', "-"),
                "end_user_type": "business",
                "requirements": {
                    "end_user": [{ "name": "Business", "type": "business" }],
                    "supporting_document": [[]],
                },
            })
        });
        let rows: Vec<Value> = rows.collect();
        Json(json!({ "results": rows, "meta": { "page": 0, "next_page_url": null } }))
            .into_response()
    }
}

/// A number in the format of the resource.
pub(super) fn row(owned: &OwnedNumber) -> Value {
    let text = |name: &str| owned.parameters.get(name).cloned();
    json!({
        "sid": owned.sid, "account_sid": owned.account_sid, "phone_number": owned.phone_number,
        "friendly_name": text("FriendlyName").unwrap_or_else(|| owned.phone_number.clone()),
        "status_callback": text("StatusCallback").unwrap_or_default(),
        "status_callback_method": text("StatusCallbackMethod").unwrap_or_else(|| "POST".to_owned()),
        "voice_url": text("VoiceUrl").unwrap_or_default(),
        "voice_application_sid": text("VoiceApplicationSid").unwrap_or_default(),
        "trunk_sid": text("TrunkSid"), "address_sid": text("AddressSid"),
        "bundle_sid": text("BundleSid"), "address_requirements": "none", "api_version": "2010-04-01",
        "beta": false, "capabilities": { "fax": false, "mms": false, "sms": true, "voice": true },
        "date_created": instant(Some(owned.created_at)),
        "date_updated": instant(Some(owned.created_at)), "origin": "twilio", "status": "in-use",
        "uri": format!("/2010-04-01/Accounts/{}/IncomingPhoneNumbers/{}.json",
            owned.account_sid, owned.sid),
    })
}
