//! `POST /v1/webhook-endpoints/{endpoint}/rotate`: gives a receiver a new secret. The one before goes
//! on signing beside it for `webhooks.previous_secret_hours`.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::create::CreatedJson;
use super::{endpoint_in, not_configured, unknown_endpoint};
use crate::http::Api;
use crate::http::access::{AuthorizedCommand, Receivers};
use crate::http::command::Outcome;
use crate::http::fields::Nothing;
use crate::http::problem::Problem;
use crate::json::schema;
use crate::notify::webhooks::{Created, NotRotated, RotateSecret, random_secret};

/// Gives a receiver of web hooks a new secret, which is in this answer only. The one before goes on
/// signing beside it for a while.
#[utoipa::path(
    post, path = "/v1/webhook-endpoints/{endpoint}/rotate", tag = "Web hooks", operation_id = "rotateWebhookSecret",
    params(("endpoint" = schema::WebhookEndpointId, Path, description = "The receiver's id")),
    responses((status = 200, description = "The receiver", body = CreatedJson<'_>)),
    extensions(("x-scopes" = json!(["admin", "account"])), ("x-act" = json!(true)), ("x-problems" = json!([
        "unknown_webhook_endpoint", "not_configured"])))
)]
pub(super) async fn rotate(
    State(api): State<Api>,
    path: Result<Path<String>, PathRejection>,
    AuthorizedCommand(Receivers(owner), command): AuthorizedCommand<Receivers>,
) -> Result<Response, Problem> {
    command.read::<Nothing>()?;
    let endpoint = endpoint_in(path)?;
    let secret = random_secret().ok_or_else(Problem::internal)?;
    let secrets = api.webhooks.secrets.clone();
    let answer = |rotated: Result<Created, NotRotated>| match rotated {
        Ok(created) => {
            let body = CreatedJson::new(created.endpoint, created.secret.expose());
            Outcome::done_in_secret(StatusCode::OK, &body)
        }
        Err(NotRotated::UnknownEndpoint) => Outcome::Refused(unknown_endpoint()),
        Err(NotRotated::NotConfigured) => Outcome::Refused(not_configured()),
    };
    command.run(&api, RotateSecret { secrets, endpoint, owner, secret }, answer).await
}
