//! `PUT /v1/accounts/{id}/payment-methods/{card}/default`: makes a card the default.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;

use super::card_in;
use crate::http::Api;
use crate::http::access::{AuthorizedCommand, Owner};
use crate::http::fields::Nothing;
use crate::http::problem::Problem;
use crate::http::refills::payments;
use crate::json::schema;

/// Makes a card the default: refills that name no card use it.
#[utoipa::path(
    put, path = "/v1/accounts/{account}/payment-methods/{card}/default", tag = "Cards", operation_id = "choosePaymentMethod",
    params(
        ("account" = schema::AccountId, Path, description = "The account's id"),
        ("card" = schema::PaymentMethodId, Path, description = "The card's id"),
    ),
    responses((status = 204, description = "It is the default")),
    extensions(("x-scopes" = json!(["account"])), ("x-act" = json!(true)), ("x-problems" = json!(["unknown_account", "unknown_payment_method", "not_configured"])))
)]
pub(super) async fn choose(
    State(api): State<Api>,
    path: Result<Path<(String, String)>, PathRejection>,
    AuthorizedCommand(Owner(account), command): AuthorizedCommand<Owner>,
) -> Result<StatusCode, Problem> {
    command.read::<Nothing>()?;
    let (payments, card) = (payments(&api)?, card_in(path)?);
    payments.choose_card(&account, &card, command.by(&api)).await?;
    Ok(StatusCode::NO_CONTENT)
}
