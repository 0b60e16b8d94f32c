//! `POST /v1/webhook-endpoints/{endpoint}/deliveries/{delivery}/replay`: posts a delivery again, with
//! the same `webhook-id` and all its retries.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;

use super::{accepted, delivery_in};
use crate::http::Api;
use crate::http::access::{AuthorizedCommand, Receivers};
use crate::http::fields::Nothing;
use crate::http::problem::Problem;
use crate::json::{DeliveryJson, schema};
use crate::notify::webhooks::ReplayDelivery;

/// Posts a delivery again, with the same `webhook-id`. The role `jobs` does it within a second.
#[utoipa::path(
    post, path = "/v1/webhook-endpoints/{endpoint}/deliveries/{delivery}/replay", tag = "Web hooks", operation_id = "replayWebhookDelivery",
    params(
        ("endpoint" = schema::WebhookEndpointId, Path, description = "The receiver's id"),
        ("delivery" = schema::WebhookDeliveryId, Path, description = "The delivery's id"),
    ),
    responses((status = 202, description = "The delivery, which is due", body = DeliveryJson)),
    extensions(("x-scopes" = json!(["admin", "account"])), ("x-act" = json!(true)), ("x-problems" = json!([
        "unknown_webhook_endpoint", "unknown_webhook_delivery", "webhook_endpoint_disabled"])))
)]
pub(super) async fn replay(
    State(api): State<Api>,
    path: Result<Path<(String, String)>, PathRejection>,
    AuthorizedCommand(Receivers(owner), command): AuthorizedCommand<Receivers>,
) -> Result<Response, Problem> {
    command.read::<Nothing>()?;
    let (endpoint, delivery) = delivery_in(path)?;
    command.run(&api, ReplayDelivery { endpoint, delivery, owner }, accepted).await
}
