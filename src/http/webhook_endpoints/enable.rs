//! `POST /v1/webhook-endpoints/{endpoint}/enable`: a disabled receiver gets events again, from now
//! on. An active one stays as it is.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::{endpoint_in, unknown_endpoint};
use crate::http::Api;
use crate::http::access::{AuthorizedCommand, Receivers};
use crate::http::command::Outcome;
use crate::http::fields::Nothing;
use crate::http::problem::Problem;
use crate::json::{EndpointJson, schema};
use crate::notify::webhooks::{EnableEndpoint, UnknownEndpoint};

/// Enables a disabled receiver of web hooks: it gets the events from now on.
#[utoipa::path(
    post, path = "/v1/webhook-endpoints/{endpoint}/enable", tag = "Web hooks", operation_id = "enableWebhookEndpoint",
    params(("endpoint" = schema::WebhookEndpointId, Path, description = "The receiver's id")),
    responses((status = 200, description = "The receiver", body = EndpointJson)),
    extensions(("x-scopes" = json!(["admin", "account"])), ("x-act" = json!(true)), ("x-problems" = json!([
        "unknown_webhook_endpoint"])))
)]
pub(super) async fn enable(
    State(api): State<Api>,
    path: Result<Path<String>, PathRejection>,
    AuthorizedCommand(Receivers(owner), command): AuthorizedCommand<Receivers>,
) -> Result<Response, Problem> {
    command.read::<Nothing>()?;
    let endpoint = endpoint_in(path)?;
    let answer = |enabled| match enabled {
        Ok(endpoint) => Outcome::done(StatusCode::OK, &EndpointJson::from(endpoint)),
        Err(UnknownEndpoint) => Outcome::Refused(unknown_endpoint()),
    };
    command.run(&api, EnableEndpoint { endpoint, owner }, answer).await
}
