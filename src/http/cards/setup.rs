//! `POST /v1/accounts/{id}/payment-methods/setup`: begins to save a card.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::Api;
use crate::http::access::{AuthorizedCommand, Owner};
use crate::http::command::respond;
use crate::http::fields::Nothing;
use crate::http::problem::Problem;
use crate::http::refills::payments;
use crate::json::schema;

/// The setup of a card, which the browser finishes with Stripe.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CardSetup)]
struct CardSetupJson {
    /// Stripe's id of the setup.
    setup_intent: String,
    /// Lets the browser confirm it.
    client_secret: String,
    /// The key with which the browser talks to Stripe.
    publishable_key: String,
}

/// Begins to save a card: the browser sends it to Stripe, by the client secret. A confirmed card is
/// in the next list.
#[utoipa::path(
    post, path = "/v1/accounts/{account}/payment-methods/setup", tag = "Cards", operation_id = "setUpPaymentMethod",
    params(("account" = schema::AccountId, Path, description = "The account's id")),
    responses((status = 201, description = "The setup", body = CardSetupJson)),
    extensions(("x-scopes" = json!(["account"])), ("x-act" = json!(true)), ("x-problems" = json!([
        "unknown_account", "too_many_payment_methods", "too_many_setups", "too_many_declines", "not_configured", "recovery_needed", "stripe_unavailable"])))
)]
pub(super) async fn setup(
    State(api): State<Api>,
    AuthorizedCommand(Owner(account), command): AuthorizedCommand<Owner>,
) -> Result<Response, Problem> {
    command.read::<Nothing>()?;
    let payments = payments(&api)?;
    // Stripe keeps the answer for the key, and its secret: here nothing is kept.
    let request = command.name()?.map_or_else(
        || format!("{:032x}", rand::random::<u128>()),
        |name| format!("{} {}", name.credential, name.key),
    );
    let setup = payments.set_up_card(&account, &request).await?;
    let body = serde_json::to_string(&CardSetupJson {
        setup_intent: setup.setup_intent,
        client_secret: setup.client_secret,
        publishable_key: payments.publishable_key().to_owned(),
    });
    Ok(respond(StatusCode::CREATED, body.map_err(|_| Problem::internal())?, false))
}
