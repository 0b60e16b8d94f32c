//! `GET /v1/webhook-endpoints/{endpoint}`: one receiver of web hooks, without its secret.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};

use super::{endpoint_in, unknown_endpoint};
use crate::http::Api;
use crate::http::access::{Authorized, Receivers};
use crate::http::problem::Problem;
use crate::json::{EndpointJson, schema};
use crate::ledger::webhooks;

/// Shows a receiver of web hooks, without its secret.
#[utoipa::path(
    get, path = "/v1/webhook-endpoints/{endpoint}", tag = "Web hooks", operation_id = "getWebhookEndpoint",
    params(("endpoint" = schema::WebhookEndpointId, Path, description = "The receiver's id")),
    responses((status = 200, description = "The receiver", body = EndpointJson)),
    extensions(("x-scopes" = json!(["admin", "account"])), ("x-problems" = json!(["unknown_webhook_endpoint"])))
)]
pub(super) async fn show(
    State(api): State<Api>,
    path: Result<Path<String>, PathRejection>,
    Authorized(Receivers(owner)): Authorized<Receivers>,
) -> Result<Json<EndpointJson>, Problem> {
    let id = endpoint_in(path)?;
    let mut connection = api.store.read().await?;
    let found = webhooks::find(&mut connection, id, &owner).await?;
    found.map(|endpoint| Json(EndpointJson::from(endpoint))).ok_or_else(unknown_endpoint)
}
