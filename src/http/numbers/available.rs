//! `GET /v1/numbers/available`: numbers that Twilio sells.

use axum::Json;
use axum::extract::State;
use callmeter_core::domain::{AccountId, Money};
use serde::Serialize;
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::{country, number_type, numbers};
use crate::http::Api;
use crate::http::access::{Query, SomeReader};
use crate::http::fields::{Fielded, Fields, parsed};
use crate::http::problem::Problem;
use crate::json::schema;
use crate::numbers::SearchRequest;
use crate::twilio::AddressRequirements;

/// Most numbers of an answer.
const LIMIT: u16 = 50;

impl Fielded for SearchRequest {
    fn read(fields: &mut Fields) -> Option<Self> {
        let country = fields.required("country", country);
        let number_type = fields.required("type", number_type);
        let contains = fields.optional("contains", digits);
        // Checked with the key.
        let _: Option<AccountId> = fields.optional("account", parsed::<AccountId>);
        Some(Self { country: country?, number_type: number_type?, contains, limit: LIMIT })
    }
}

fn digits(value: &Value) -> Result<String, String> {
    let text = value.as_str().filter(|text| {
        (2..=15).contains(&text.len()) && text.bytes().all(|digit| digit.is_ascii_digit())
    });
    text.map(str::to_owned).ok_or_else(|| "is not 2 to 15 digits".to_owned())
}

/// What is searched.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documents what `Fields` reads")]
struct SearchParameters {
    #[param(value_type = schema::Country)]
    country: String,
    #[param(value_type = schema::NumberType)]
    r#type: String,
    /// Only numbers that have these digits.
    #[param(value_type = Option<schema::Digits>)]
    contains: Option<String>,
    /// The account in whose Twilio account is searched; absent: that of the key, or of the settings.
    #[param(value_type = Option<schema::AccountId>)]
    account: Option<String>,
}

/// A number for sale.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AvailableNumber)]
struct AvailableJson {
    #[schema(value_type = schema::PhoneNumber)]
    phone_number: String,
    #[schema(value_type = schema::Country)]
    country: String,
    #[schema(value_type = schema::NumberType)]
    r#type: callmeter_core::domain::NumberType,
    /// Its town, if it has one.
    locality: Option<String>,
    /// Its state or province, if it has one.
    region: Option<String>,
    /// The address that its country asks for: `none`, `any`, `local` (in the country) or `foreign`.
    #[schema(value_type = String)]
    address_requirements: AddressRequirements,
    /// What the purchase costs, the first period included; null: it cannot be bought.
    #[schema(value_type = Option<schema::Amount>)]
    price: Option<Money>,
    /// What each period after that costs.
    #[schema(value_type = Option<schema::Amount>)]
    monthly: Option<Money>,
}

/// Numbers for sale.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AvailableNumbers)]
pub(super) struct AvailableListJson {
    items: Vec<AvailableJson>,
}

/// Searches numbers that Twilio sells, at most 50, with their price. It searches in the Twilio account
/// of the key's account, or of the one that an administrator names, else in that of the settings.
#[utoipa::path(
    get, path = "/v1/numbers/available", tag = "Numbers", operation_id = "searchNumbers",
    params(SearchParameters),
    responses((status = 200, description = "Numbers for sale", body = AvailableListJson)),
    extensions(("x-scopes" = json!(["admin", "account"])), ("x-problems" = json!([
        "unknown_account", "not_configured", "twilio_unavailable"])))
)]
pub(super) async fn available(
    State(api): State<Api>,
    Query(SomeReader(account), request): Query<SomeReader, SearchRequest>,
) -> Result<Json<AvailableListJson>, Problem> {
    let found = numbers(&api)?.search(account.as_ref(), &request).await?;
    let found = found.map_err(|_| Problem::unknown_account())?;
    let (price, monthly) = found.price.map(|price| (price.purchase, price.monthly)).unzip();
    let items = found.numbers.into_iter().map(|number| AvailableJson {
        phone_number: number.phone_number,
        country: request.country.clone(),
        r#type: request.number_type,
        locality: number.locality.filter(|text| !text.is_empty()),
        region: number.region.filter(|text| !text.is_empty()),
        address_requirements: number.address_requirements,
        price,
        monthly,
    });
    Ok(Json(AvailableListJson { items: items.collect() }))
}
