//! Receivers of web hooks, under `/v1/webhook-endpoints`: a key of an account reaches those of its
//! account, an administrator all.

mod create;
mod delete;
mod deliveries;
mod enable;
mod list;
mod replay;
mod rotate;
mod show;
mod test;

use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::command::Outcome;
use super::problem::Problem;
use crate::json::DeliveryJson;
use crate::ledger::webhooks::{Delivery, DeliveryId, EndpointId, NotReplayed};

/// Paths for a key of the account too.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(create::create, list::list))
        .routes(routes!(show::show, delete::delete))
        .routes(routes!(deliveries::deliveries))
        .routes(routes!(replay::replay))
        .routes(routes!(test::test))
        .routes(routes!(rotate::rotate))
        .routes(routes!(enable::enable))
}

/// The endpoint in a path.
///
/// # Errors
/// 404 `unknown_webhook_endpoint`.
fn endpoint_in(path: Result<Path<String>, PathRejection>) -> Result<EndpointId, Problem> {
    let id = path.ok().and_then(|Path(text)| text.parse().ok());
    id.ok_or_else(unknown_endpoint)
}

/// The endpoint and the delivery in a path.
///
/// # Errors
/// 404 `unknown_webhook_endpoint` or `unknown_webhook_delivery`.
fn delivery_in(
    path: Result<Path<(String, String)>, PathRejection>,
) -> Result<(EndpointId, DeliveryId), Problem> {
    let (endpoint, delivery) = path.map(|Path(parts)| parts).map_err(|_| unknown_endpoint())?;
    let endpoint = endpoint.parse().map_err(|_| unknown_endpoint())?;
    Ok((endpoint, delivery.parse().map_err(|_| unknown_delivery())?))
}

fn unknown_endpoint() -> Problem {
    Problem::not_found("unknown_webhook_endpoint", "There is no such receiver of web hooks")
}

fn unknown_delivery() -> Problem {
    Problem::not_found("unknown_webhook_delivery", "The receiver has no such delivery")
}

fn not_configured() -> Problem {
    Problem::not_configured("neither secrets.key nor http.admin_key is set to seal the secret with")
}

/// The answer to a delivery that is due now.
fn accepted(outcome: Result<Delivery, NotReplayed>) -> Outcome {
    match outcome {
        Ok(delivery) => {
            Outcome::done(axum::http::StatusCode::ACCEPTED, &DeliveryJson::from(delivery))
        }
        Err(NotReplayed::UnknownEndpoint) => Outcome::Refused(unknown_endpoint()),
        Err(NotReplayed::UnknownDelivery) => Outcome::Refused(unknown_delivery()),
        Err(NotReplayed::Disabled) => Outcome::Refused(Problem::taken(
            "webhook_endpoint_disabled",
            "The receiver of web hooks is disabled; enable it first",
        )),
    }
}
