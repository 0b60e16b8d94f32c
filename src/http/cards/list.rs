//! `GET /v1/accounts/{id}/payment-methods`: lists saved cards, as Stripe has them now.

use axum::Json;
use axum::extract::State;

use super::render::{CardJson, CardsJson};
use crate::http::Api;
use crate::http::access::{Authorized, Owner};
use crate::http::problem::Problem;
use crate::http::refills::payments;
use crate::json::schema;

/// Lists the saved cards, newest first, as Stripe has them now.
#[utoipa::path(
    get, path = "/v1/accounts/{account}/payment-methods", tag = "Cards", operation_id = "listPaymentMethods",
    params(("account" = schema::AccountId, Path, description = "The account's id")),
    responses((status = 200, description = "The cards", body = CardsJson)),
    extensions(("x-scopes" = json!(["account"])), ("x-problems" = json!(["unknown_account", "not_configured", "recovery_needed", "stripe_unavailable"])))
)]
pub(super) async fn list(
    State(api): State<Api>,
    Authorized(Owner(account)): Authorized<Owner>,
) -> Result<Json<CardsJson>, Problem> {
    let (cards, now) = (payments(&api)?.cards(&account).await?, api.clock.now());
    let items = cards.into_iter().map(|card| CardJson::new(card, now)).collect();
    Ok(Json(CardsJson { items }))
}
