//! `POST /v1/webhook-endpoints/{endpoint}/test`: posts an event `callmeter.webhook_endpoint.test`,
//! whatever types the receiver chose.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;

use super::{accepted, endpoint_in};
use crate::http::Api;
use crate::http::access::{AuthorizedCommand, Receivers};
use crate::http::fields::Nothing;
use crate::http::problem::Problem;
use crate::json::{DeliveryJson, schema};
use crate::notify::webhooks::TestEndpoint;

/// Posts a test to a receiver of web hooks. The role `jobs` does it within a second.
#[utoipa::path(
    post, path = "/v1/webhook-endpoints/{endpoint}/test", tag = "Web hooks", operation_id = "testWebhookEndpoint",
    params(("endpoint" = schema::WebhookEndpointId, Path, description = "The receiver's id")),
    responses((status = 202, description = "The delivery, which is due", body = DeliveryJson)),
    extensions(("x-scopes" = json!(["admin", "account"])), ("x-act" = json!(true)), ("x-problems" = json!([
        "unknown_webhook_endpoint", "webhook_endpoint_disabled"])))
)]
pub(super) async fn test(
    State(api): State<Api>,
    path: Result<Path<String>, PathRejection>,
    AuthorizedCommand(Receivers(owner), command): AuthorizedCommand<Receivers>,
) -> Result<Response, Problem> {
    command.read::<Nothing>()?;
    let endpoint = endpoint_in(path)?;
    command.run(&api, TestEndpoint { endpoint, owner }, accepted).await
}
