//! `GET /v1/numbers/prices`: what numbers cost.

use axum::Json;
use axum::extract::State;
use callmeter_core::domain::{AccountId, Money, NumberPrice, NumberType};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::{country, number_type, numbers};
use crate::http::Api;
use crate::http::access::{Query, SomeReader};
use crate::http::fields::{Fielded, Fields, parsed};
use crate::http::problem::Problem;
use crate::json::schema;

#[derive(Debug)]
pub(super) struct PriceRequest {
    country: Option<String>,
    number_type: Option<NumberType>,
}

impl Fielded for PriceRequest {
    fn read(fields: &mut Fields) -> Option<Self> {
        let country = fields.optional("country", country);
        let number_type = fields.optional("type", number_type);
        // Checked with the key; prices are the same for all.
        let _: Option<AccountId> = fields.optional("account", parsed::<AccountId>);
        Some(Self { country, number_type })
    }
}

/// Filters of prices.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documents what `Fields` reads")]
struct PriceFilters {
    #[param(value_type = Option<schema::Country>)]
    country: Option<String>,
    #[param(value_type = Option<schema::NumberType>)]
    r#type: Option<String>,
    /// The account that asks.
    #[param(value_type = Option<schema::AccountId>)]
    account: Option<String>,
}

/// What a type of number costs.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = NumberPrice)]
pub(super) struct PriceJson {
    #[schema(value_type = schema::Country)]
    country: String,
    #[schema(value_type = schema::NumberType)]
    r#type: NumberType,
    /// The purchase, the first period included.
    #[schema(value_type = schema::Amount)]
    purchase: Money,
    /// Each period after that.
    #[schema(value_type = schema::Amount)]
    monthly: Money,
}

/// What numbers cost.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = NumberPrices)]
pub(super) struct PricesJson {
    items: Vec<PriceJson>,
}

impl From<NumberPrice> for PriceJson {
    fn from(price: NumberPrice) -> Self {
        Self {
            country: price.country.into(),
            r#type: price.number_type,
            purchase: price.purchase,
            monthly: price.monthly,
        }
    }
}

/// Lists the prices of numbers by country and type, as the catalog has them now.
#[utoipa::path(
    get, path = "/v1/numbers/prices", tag = "Numbers", operation_id = "listNumberPrices",
    params(PriceFilters),
    responses((status = 200, description = "The prices", body = PricesJson)),
    extensions(("x-scopes" = json!(["admin", "account"])), ("x-problems" = json!(["unknown_account"])))
)]
pub(super) async fn prices(
    State(api): State<Api>,
    Query(_reader, request): Query<SomeReader, PriceRequest>,
) -> Result<Json<PricesJson>, Problem> {
    let PriceRequest { country, number_type } = request;
    let prices = numbers(&api)?.prices().await?.into_iter().filter(|price| {
        country.as_deref().is_none_or(|country| &*price.country == country)
            && number_type.is_none_or(|number_type| price.number_type == number_type)
    });
    Ok(Json(PricesJson { items: prices.map(PriceJson::from).collect() }))
}
