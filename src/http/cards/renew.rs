//! `PATCH /v1/accounts/{id}/payment-methods/{card}`: sets a card's date of expiry.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use serde_json::Value;
use utoipa::ToSchema;

use super::card_in;
use super::render::CardJson;
use crate::http::Api;
use crate::http::access::{AuthorizedCommand, Owner};
use crate::http::fields::{Fielded, Fields};
use crate::http::problem::Problem;
use crate::http::refills::payments;
use crate::json::schema;

/// A date of expiry.
#[derive(ToSchema)]
#[schema(example = json!({ "exp_month": 7, "exp_year": 2031 }))]
#[expect(dead_code, reason = "documents what `Fields` reads")]
struct ExpiryBody {
    /// 1 to 12.
    #[schema(minimum = 1, maximum = 12)]
    exp_month: i16,
    /// Four digits.
    #[schema(minimum = 2000, maximum = 2100)]
    exp_year: i16,
}

struct Expiry(u32, u32);

impl Fielded for Expiry {
    fn read(fields: &mut Fields) -> Option<Self> {
        let month = fields.required("exp_month", |value| whole(value, 1, 12));
        let year = fields.required("exp_year", |value| whole(value, 2000, 2100));
        Some(Self(month?, year?))
    }
}

/// Sets a card's date of expiry, for a renewed card of the same number.
#[utoipa::path(
    patch, path = "/v1/accounts/{account}/payment-methods/{card}", tag = "Cards", operation_id = "renewPaymentMethod",
    params(
        ("account" = schema::AccountId, Path, description = "The account's id"),
        ("card" = schema::PaymentMethodId, Path, description = "The card's id"),
    ),
    request_body = ExpiryBody,
    responses((status = 200, description = "The card", body = CardJson)),
    extensions(("x-scopes" = json!(["account"])), ("x-act" = json!(true)), ("x-problems" = json!([
        "unknown_account", "unknown_payment_method", "payment_method_refused", "not_configured",
        "recovery_needed", "stripe_unavailable"])))
)]
pub(super) async fn renew(
    State(api): State<Api>,
    path: Result<Path<(String, String)>, PathRejection>,
    AuthorizedCommand(Owner(account), command): AuthorizedCommand<Owner>,
) -> Result<Json<CardJson>, Problem> {
    let Expiry(month, year) = command.read::<Expiry>()?;
    let (payments, card) = (payments(&api)?, card_in(path)?);
    let renewed = payments.renew_card(&account, &card, (month, year)).await?;
    Ok(Json(CardJson::new(renewed, api.clock.now())))
}

fn whole(value: &Value, least: i64, most: i64) -> Result<u32, String> {
    let number = value.as_i64().filter(|number| (least..=most).contains(number));
    let number = number.and_then(|number| u32::try_from(number).ok());
    number.ok_or_else(|| format!("is not a whole number from {least} to {most}"))
}
