//! `DELETE /v1/webhook-endpoints/{endpoint}`: deletes a receiver of web hooks; it gets nothing more.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;

use super::{endpoint_in, unknown_endpoint};
use crate::http::Api;
use crate::http::access::{AuthorizedCommand, Receivers};
use crate::http::command::Outcome;
use crate::http::fields::Nothing;
use crate::http::problem::Problem;
use crate::json::schema;
use crate::notify::webhooks::{DeleteEndpoint, UnknownEndpoint};

/// Deletes a receiver of web hooks; it gets nothing more, and what waits for it is dropped.
#[utoipa::path(
    delete, path = "/v1/webhook-endpoints/{endpoint}", tag = "Web hooks", operation_id = "deleteWebhookEndpoint",
    params(("endpoint" = schema::WebhookEndpointId, Path, description = "The receiver's id")),
    responses((status = 204, description = "It is deleted")),
    extensions(("x-scopes" = json!(["admin", "account"])), ("x-act" = json!(true)), ("x-problems" = json!([
        "unknown_webhook_endpoint"])))
)]
pub(super) async fn delete(
    State(api): State<Api>,
    path: Result<Path<String>, PathRejection>,
    AuthorizedCommand(Receivers(owner), command): AuthorizedCommand<Receivers>,
) -> Result<Response, Problem> {
    command.read::<Nothing>()?;
    let endpoint = endpoint_in(path)?;
    let answer = |deleted| match deleted {
        Ok(()) => Outcome::done_silently(),
        Err(UnknownEndpoint) => Outcome::Refused(unknown_endpoint()),
    };
    command.run(&api, DeleteEndpoint { endpoint, owner }, answer).await
}
